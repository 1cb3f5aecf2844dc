"""The agent's SQLite file: positions, intents, rejected lines."""

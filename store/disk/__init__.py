"""The SQLite file and its blocks."""

"""The SQLite database and its blocks of entries."""

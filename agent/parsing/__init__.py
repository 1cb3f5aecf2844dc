"""Parses blocks of lines into entries: timestamp, level, metadata, masked text."""

"""Turns blocks of lines into entries: time, level, metadata, masked text."""

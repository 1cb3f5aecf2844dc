"""Finds logs and reads them in blocks."""

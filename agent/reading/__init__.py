"""Finds logs and reads them, block by block."""

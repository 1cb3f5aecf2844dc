"""Reads traces from Loki: launches, lines, text search, live feeds."""

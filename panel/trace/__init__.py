"""Reads a trace from Loki: launches, lines, search, live feed."""

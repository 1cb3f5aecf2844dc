"""Follows logs, turns lines into entries, ships them to Loki exactly once, reports metrics."""

"""Delivers batches to Loki exactly once."""

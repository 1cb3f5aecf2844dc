"""Starts, stops and keeps inference servers; one keeper process stays with each launch."""

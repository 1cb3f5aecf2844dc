"""Evaluates LogQL queries on blocks."""

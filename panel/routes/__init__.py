"""The panel's HTTP routes."""

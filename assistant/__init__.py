"""Tools for assistants, by the Model Context Protocol: read-only, bounded, and scoped by the panel's tokens."""

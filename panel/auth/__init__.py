"""Authentication and authorization: tokens, key files."""

"""LogQL: parses queries and evaluates them."""

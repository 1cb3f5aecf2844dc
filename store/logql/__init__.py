"""LogQL: syntax tree, parser, matchers."""

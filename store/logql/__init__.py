"""LogQL: syntax tree, parser, printer, matchers."""

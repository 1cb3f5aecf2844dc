"""Takes what is pushed: decodes, checks, writes."""

"""One module per inference engine: its command, what ready means, its phases, its root causes. Stdlib only."""

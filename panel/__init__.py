"""What the test platform talks to: queries, live stream, log panel, callbacks."""

"""What the commands do: start, stop, status, notify, gc."""

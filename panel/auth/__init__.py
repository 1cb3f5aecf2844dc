"""Who may read and write: tokens, keys, origins."""

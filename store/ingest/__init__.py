"""Push requests: decoding, limits, writing."""

"""An embedded, Loki-compatible log store for one machine."""

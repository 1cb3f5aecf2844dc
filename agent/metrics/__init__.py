"""What the agent reports to Prometheus."""

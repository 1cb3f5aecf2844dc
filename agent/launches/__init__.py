"""What the agent does for launches besides shipping their logs."""

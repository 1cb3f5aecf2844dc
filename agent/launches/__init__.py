"""What the agent does for launches besides shipping their logs: shipped.json, missing keepers, left callbacks."""

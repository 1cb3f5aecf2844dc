"""What Loki is, for every part: settings, HTTP client, paging, LogQL, push requests, and what its answers mean."""

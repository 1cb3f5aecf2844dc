"""The log panel and its API: log queries, live streams, callbacks, tokens, and the browser component."""

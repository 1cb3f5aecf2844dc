"""A small OpenAI-compatible server that prints what vLLM prints; for demonstrations and tests."""

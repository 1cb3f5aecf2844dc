"""The keeper: the small process that stays with one launch, owns its output and records its end."""

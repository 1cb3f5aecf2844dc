"""Limits of Loki's default configuration that clients and the embedded store keep to.

Source: https://grafana.com/docs/loki/latest/configure/#limits_config
"""

ENTRIES_PER_QUERY_MAX = 5000
"""max_entries_limit_per_query; a query that asks for more is answered 400."""
STEPS_PER_QUERY_MAX = 11_000
"""Of a metric query; a constant of Loki and Prometheus, no limit that can be set."""
CREATION_GRACE_SECONDS = 600
"""creation_grace_period: how far ahead of Loki's clock the time of an entry may be."""

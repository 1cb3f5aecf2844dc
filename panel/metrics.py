"""The panel's own Prometheus metrics."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The registry of one panel."""

    def __init__(
        self, viewers: Callable[[], float], traces_followed: Callable[[], float], loki_requests: Callable[[], float]
    ) -> None:
        """Register the metrics. Each argument returns the current value of a gauge."""
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "tracetail_panel_requests", "Requests by route and status.", ["route", "status"], registry=self._registry
        )
        self.request_seconds = Histogram(
            "tracetail_panel_request_seconds",
            "Duration of requests, except streams.",
            ["route"],
            registry=self._registry,
        )
        for name, description, value in (
            ("tracetail_panel_viewers", "Open streams.", viewers),
            ("tracetail_panel_traces_followed", "Traces that are followed.", traces_followed),
            ("tracetail_panel_loki_requests", "Requests sent to Loki.", loki_requests),
        ):
            Gauge(name, description, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """Return the metrics in the Prometheus text format."""
        return generate_latest(self._registry)

"""Counters of a server, for Prometheus: requests by route and status, their seconds, the bytes sent, what runs now.

Called by the doorkeeper. Labels are routes, never paths: there are few of them, whatever clients ask.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class ServeMetrics:
    """The metrics of one server in a registry, which may hold others beside them."""

    content_type: Final = CONTENT_TYPE_LATEST

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._requests = Counter(
            "qsky_http_requests", "Requests answered.", ("route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "qsky_http_seconds",
            "Seconds from a request to the last byte of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._bytes = Counter("qsky_http_sent_bytes", "Bytes of bodies sent.", ("route",), registry=self.registry)
        self._cut = Counter("qsky_http_cut", "Answers that broke off.", ("route",), registry=self.registry)
        self.running = Gauge("qsky_http_requests_running", "Requests at work.", registry=self.registry)

    def count(self, route: str, method: str, status: int, sent_bytes: int, seconds: float, *, cut: bool) -> None:
        """One request that is over."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        self._bytes.labels(route).inc(sent_bytes)
        if cut:
            self._cut.labels(route).inc()

    def text(self) -> bytes:
        """Everything in the registry, as Prometheus reads it."""
        return generate_latest(self.registry)

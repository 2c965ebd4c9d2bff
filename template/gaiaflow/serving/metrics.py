"""What Prometheus reads: requests, their duration, rows, and what the request log did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gaiaflow.serving.request_log import RequestLog

# Seconds: from one row of a small model to the limit.
_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The metrics of one worker: they start at zero with each new champion."""

    def __init__(
        self, model: str, version: str, log: RequestLog, waiting: Callable[[], int]
    ) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "serving_requests", "Requests by HTTP status", ["status"], registry=self._registry
        )
        self._seconds = Histogram(
            "serving_request_seconds",
            "Time from a request's arrival to its answer",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._rows = Counter("serving_rows", "Rows predicted", registry=self._registry)
        self._scenes = Counter(
            "serving_scenes", "Requests that started a job for a scene", registry=self._registry
        )
        gauge = Gauge("serving_in_progress", "Requests in progress", registry=self._registry)
        gauge.set_function(waiting)
        info = Gauge(
            "serving_model",
            "The model that is served",
            ["name", "version"],
            registry=self._registry,
        )
        info.labels(model, version).set(1)
        self._registry.register(_LogRows(log))

    def observe(self, status: int, seconds: float, inputs: Any) -> None:
        """Count one request."""
        self._requests.labels(str(status)).inc()
        self._seconds.observe(seconds)
        if inputs is not None:
            self._rows.inc(len(inputs))

    def scene(self) -> None:
        """Count one job for a scene."""
        self._scenes.inc()

    def text(self) -> tuple[bytes, str]:
        """The metrics in Prometheus' text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _LogRows:
    """Reads the request log's own counters."""

    def __init__(self, log: RequestLog) -> None:
        self._log = log

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The metrics at this moment."""
        rows = CounterMetricFamily(
            "serving_log_rows",
            "Rows for the request log, by outcome",
            labels=["outcome"],
        )
        rows.add_metric(["stored"], self._log.stored)
        rows.add_metric(["dropped"], self._log.dropped)
        yield rows

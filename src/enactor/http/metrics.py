"""What `/metrics` shows (Prometheus). Nothing in it tells tenants apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from enactor.domain.attempt import RunStatus
from enactor.ports.engine import Engine

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts requests and executions, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._requests = Counter(
            "enactor_http_requests",
            "Requests answered, by method, route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "enactor_http_request_seconds",
            "Time to the end of the response, by method and route.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._executions = Counter(
            "enactor_executions",
            "Runs that ended or fell in doubt since this process began, by status.",
            ("status",),
            registry=self.registry,
        )
        for status in RunStatus:
            if status is not RunStatus.RUNNING:
                self._executions.labels(status.value)
        # Looking up a labelled child costs more than counting on it, and there are only so many of them.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts a request. `route` is the path's template, never the path."""
        key = (method, route, status)
        children = self._children.get(key)
        if children is None:
            children = (self._requests.labels(method, route, str(status)), self._seconds.labels(method, route))
            self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)

    def ended(self, action_intent_id: str, status: RunStatus) -> None:
        """Counts a run that ended or fell in doubt. It is a listener of the local engine."""
        self._executions.labels(status.value).inc()

    def watch(self, engine: Engine) -> None:
        """Shows how busy an engine is, read when it is asked."""
        self.registry.register(_EngineGauges(engine))

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


class _EngineGauges(Collector):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """The gauges as they are now."""
        info = self._engine.info()
        busy = GaugeMetricFamily("enactor_engine_runs", "Runs in the engine, by what they are at.", labels=("state",))
        for state in ("queued", "running", "waiting"):
            busy.add_metric((state,), getattr(info, state))
        yield busy
        yield GaugeMetricFamily("enactor_engine_accepting", "1 while the engine takes runs.", value=info.accepting)

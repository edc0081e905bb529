"""What `/metrics` shows of the outbox (Prometheus): sums over all webhooks, so that nothing tells tenants apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from enactor.outbox.lane import OutboxStats


class OutboxCollector(Collector):
    """Reads the numbers when it is asked for them.

    Args:
        stats: each webhook's numbers, such as `Dispatcher.stats`.
    """

    def __init__(self, stats: Callable[[], Sequence[OutboxStats]]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        stats = self._stats()
        deliveries = CounterMetricFamily(
            "enactor_webhook_deliveries",
            "Attempts to deliver an event since this process began, by what came of them.",
            labels=("result",),
        )
        deliveries.add_metric(("delivered",), sum(one.delivered for one in stats))
        deliveries.add_metric(("failed",), sum(one.failed for one in stats))
        yield deliveries
        yield CounterMetricFamily(
            "enactor_webhook_dead_letters",
            "Events given up since this process began.",
            value=sum(one.parked for one in stats),
        )
        yield GaugeMetricFamily(
            "enactor_webhook_waiting_events",
            "Events that failed and wait for another attempt.",
            value=sum(one.waiting for one in stats),
        )
        yield GaugeMetricFamily(
            "enactor_webhook_lag_entries",
            "Ledger entries that the webhook furthest behind has not come to yet.",
            value=max((one.lag for one in stats), default=0),
        )
        yield GaugeMetricFamily(
            "enactor_webhooks_disabled",
            "Webhooks whose receiver answered 410 Gone; they get nothing more until the next start.",
            value=sum(one.disabled for one in stats),
        )

"""The ledger's logs in `/metrics`. Nothing in it tells tenants apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from enactor.service.keeper import KeeperStatus


class LedgerCollector(Collector):
    """Shows how the logs stand, read when it is asked.

    Args:
        status: the keeper's.
    """

    def __init__(self, status: Callable[[], KeeperStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """The numbers as they are now."""
        status = self._status()
        yield GaugeMetricFamily(
            "enactor_ledger_unmerged_seconds",
            "Age of the oldest ledger entry that is in no log yet; 0 for none.",
            value=status.unmerged_seconds,
        )
        yield GaugeMetricFamily(
            "enactor_ledger_alarm", "1 while an entry has been in no log for 60 seconds or more.", value=status.alarm
        )
        yield CounterMetricFamily(
            "enactor_ledger_checkpoints", "Checkpoints published at the interval.", value=status.checkpoints
        )
        yield CounterMetricFamily(
            "enactor_ledger_failures", "Times that merging or signing failed.", value=status.failures
        )

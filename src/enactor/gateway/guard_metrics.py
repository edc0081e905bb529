"""What `/metrics` shows of the guards (Prometheus): sums over all tenants, so that none is told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from enactor.gateway.guards import DoorCounts


class GuardsCollector(Collector):
    """Reads the numbers when it is asked for them.

    Args:
        counts: each connector's numbers, such as `GuardedPlane.counts`.
    """

    def __init__(self, counts: Callable[[], Mapping[str, DoorCounts]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        out = GaugeMetricFamily(
            "enactor_gateway_calls_out", "Calls and look-ups that have not come back yet.", labels=("connector",)
        )
        doors = GaugeMetricFamily(
            "enactor_gateway_doors",
            "Doors, one for each tenant of a connector, by the state of their circuit breakers.",
            labels=("connector", "state"),
        )
        put_off = CounterMetricFamily(
            "enactor_gateway_put_off",
            "Calls and look-ups put off since this process began, by what was in their way.",
            labels=("connector", "reason"),
        )
        for connector, counts in self._counts().items():
            out.add_metric((connector,), counts.out)
            for state, number in counts.states.items():
                doors.add_metric((connector, state.value), number)
            for kind, number in counts.put_off.items():
                put_off.add_metric((connector, kind), number)
        yield out
        yield doors
        yield put_off

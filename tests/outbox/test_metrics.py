"""The outbox's numbers where operators look at them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from enactor.domain.ledger import LedgerEvent
from enactor.outbox.metrics import OutboxCollector
from tests.outbox.receiver import OK, Receiver, Reply
from tests.outbox.rig import Rig, eventually, hook


async def test_numbers_are_sums_and_name_nobody(rig: Rig, receiver: Receiver) -> None:
    """Deliveries, failures, dead letters, what waits, lag and disabled: over all webhooks, no tenant told."""
    receiver.respond = lambda request: Reply(500) if request.event["type"].endswith("failed") else OK
    async with Receiver(lambda _: Reply(410)) as gone:
        dispatcher = await rig.start(hook(receiver.url), hook(gone.url, "globex"), attempts=1)
        await rig.write(3)
        await rig.write(event=LedgerEvent.ACTION_FAILED)
        await rig.write(tenant_id="globex")
        await eventually(
            lambda: (stats := dispatcher.stats())[0].delivered == 3 and stats[0].parked and stats[1].disabled
        )
    registry = CollectorRegistry()
    registry.register(OutboxCollector(dispatcher.stats))
    text = generate_latest(registry).decode()
    lines = {line for line in text.splitlines() if not line.startswith("#")}
    assert lines == {
        'enactor_webhook_deliveries_total{result="delivered"} 3.0',
        'enactor_webhook_deliveries_total{result="failed"} 2.0',
        "enactor_webhook_dead_letters_total 1.0",
        "enactor_webhook_waiting_events 0.0",
        "enactor_webhook_lag_entries 1.0",
        "enactor_webhooks_disabled 1.0",
    }
    assert "acme" not in text


def test_without_webhooks_everything_is_zero() -> None:
    """The metrics are there before there is a webhook."""
    registry = CollectorRegistry()
    registry.register(OutboxCollector(tuple))
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    assert len(lines) == 6
    assert all(line.endswith(" 0.0") for line in lines)

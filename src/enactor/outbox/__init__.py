"""The outbox: every committed ledger entry leaves as a CloudEvent to the webhooks that want it, at least once."""

"""The use cases, for functions that do some of them: imported when they are first needed, with the policy engine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from enactor.functions.composition import Parts, no_tools

if TYPE_CHECKING:
    from enactor.domain.note import Signer
    from enactor.ports.clock import Clock
    from enactor.ports.engine import Engine
    from enactor.service import Core, LogOptions

_KEYS_KEPT_MS: Final = 60_000


class KeptSigners:
    """The keys that sign the ledger's logs, read from where they are at most once a minute.

    A tenant's checkpoint is one reading; with a thousand tenants it would be a thousand calls of Secrets Manager.

    Args:
        references: where the keys are, the newest first.
    """

    def __init__(self, references: Sequence[str], clock: Clock) -> None:
        self._references = references
        self._clock = clock
        self._read: Sequence[Signer] = ()
        self._read_at = 0

    def __call__(self) -> Sequence[Signer]:
        """The keys. Raises `ConfigurationError`."""
        from enactor.domain.note import Signer
        from enactor.gateway.secrets import read_reference

        now = self._clock.now_ms()
        if not self._read or now - self._read_at >= _KEYS_KEPT_MS:
            what = "ledger.signing_keys"
            self._read = [Signer.parse(read_reference(it, os.environ, what), what) for it in self._references]
            self._read_at = now
        return self._read


def log_options(made: Parts) -> LogOptions:
    """How this function's environment says that logs are named and signed, without witnesses."""
    from enactor.service import LogOptions

    given = made.environment
    signers = KeptSigners(given.signing_keys, made.clock) if given.signing_keys else None
    return LogOptions(origin=given.ledger_origin, signers=signers)


def core_of(made: Parts, engine: Engine) -> Core:
    """The ports of a function that calls no tools and takes no proposals."""
    from enactor.policies.cedar import CedarPolicyEngine
    from enactor.service import Core, Limits

    return Core(
        store=made.store,
        tools=no_tools(),
        engine=engine,
        policy=CedarPolicyEngine(),
        clock=made.clock,
        ids=made.context.ids,
        randomness=made.context.randomness,
        limits=Limits(),
        transforms={},
    )

"""What a function is told by its environment. The names are those of the settings; `doctor` and the API read the same.

Read without the settings' models: they cost a function that needs five values a tenth of a second at each cold start.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from msgspec import Struct

from enactor.domain.errors import ConfigurationError


class Environment(Struct, frozen=True, kw_only=True):
    """The values that the template sets.

    Attributes:
        region, prefix, endpoint: of the tables, out of the store's URL.
        max_pause_ms, doubt_look_up_ms: see `pipeline.model.Settings`.
        ledger_origin, signing_keys: see `settings.ledger`.
    """

    region: str
    prefix: str
    endpoint: str | None
    state_machine: str
    event_bus: str
    artifacts: str
    max_pause_ms: int
    doubt_look_up_ms: int
    ledger_origin: str
    signing_keys: tuple[str, ...]


def environment(variables: Mapping[str, str] | None = None) -> Environment:
    """The environment of this function.

    Raises:
        ConfigurationError: a variable is missing or wrong; the message names it.
    """
    given = os.environ if variables is None else variables
    url = given.get("ENACTOR_STORE", "")
    scheme, _, rest = url.partition("://")
    region, _, query = rest.partition("?")
    options = dict(part.split("=", 1) for part in query.split("&") if "=" in part)
    if scheme != "dynamodb" or not region:
        raise ConfigurationError("ENACTOR_STORE must be dynamodb://region?prefix=cc-native.")
    return Environment(
        region=region,
        prefix=options.get("prefix", "cc-native"),
        endpoint=options.get("endpoint"),
        state_machine=given.get("ENACTOR_AWS__STATE_MACHINE", ""),
        event_bus=given.get("ENACTOR_AWS__EVENT_BUS", ""),
        artifacts=given.get("ENACTOR_AWS__ARTIFACTS", ""),
        max_pause_ms=_milliseconds(given, "ENACTOR_MAX_PAUSE_SECONDS", 60),
        doubt_look_up_ms=_milliseconds(given, "ENACTOR_DOUBT_LOOK_UP_SECONDS", 60),
        ledger_origin=given.get("ENACTOR_LEDGER__ORIGIN", "enactor.local"),
        signing_keys=tuple(filter(None, map(str.strip, given.get("ENACTOR_LEDGER__SIGNING_KEYS", "").split(",")))),
    )


def _milliseconds(given: Mapping[str, str], name: str, default: float) -> int:
    try:
        seconds = float(given.get(name, default))
    except ValueError:
        raise ConfigurationError(f"{name} must be a number of seconds.") from None
    return int(seconds * 1000)

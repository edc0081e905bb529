"""What a connector is given when a server makes it from its settings, and what it finds when it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from enactor.ports.clock import Clock


class ConnectorContext(Struct, frozen=True, kw_only=True):
    """A server's side of a connector.

    Attributes:
        settings: the connector's own table, `[connector_settings.NAME]`; the connector checks it.
        read_secret: gives the value of a secret reference (`env:NAME`, `file:/path`, `aws-sm:name#key`). Its second
            argument says what the secret is, for the `ConfigurationError` it raises. It may block for as long as a
            secrets service takes, and its result is for the moment: never kept, logged or put into a message.
        development: targets on loopback may be called, over plain http too.
    """

    clock: Clock
    settings: Mapping[str, Any]
    read_secret: Callable[[str, str], str]
    development: bool = False


class Check(Struct, frozen=True):
    """What a connector found when it looked at its target.

    Attributes:
        good: nothing has to be done.
        text: what was found, safe to show.
        advice: what to do; empty when nothing.
        blocks: a tool cannot work until it is done; else it is a warning.
    """

    good: bool
    text: str
    advice: str = ""
    blocks: bool = True

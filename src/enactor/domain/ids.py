"""Identifiers: UUIDv7 (RFC 9562), so that what is made later sorts later and lies later in a clustered table."""

from __future__ import annotations

import re
import uuid
from typing import Final

INTENT_PREFIX: Final = "ai_"
_48_BITS: Final = (1 << 48) - 1
_62_BITS: Final = (1 << 62) - 1
_INTENT_ID: Final = re.compile(r"ai_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_NAME: Final = re.compile(r"[A-Za-z0-9.-][A-Za-z0-9_.-]{0,63}")


def uuid7(unix_ms: int, random_bytes: bytes) -> int:
    """A UUIDv7 as a number of 128 bits. Its 32 hexadecimal digits are also a valid W3C trace id.

    Args:
        unix_ms: milliseconds since the epoch (48 bits are used).
        random_bytes: ten random bytes, of which 74 bits are used.
    """
    drawn = int.from_bytes(random_bytes)
    return (unix_ms & _48_BITS) << 80 | 0x7 << 76 | (drawn >> 68) << 64 | 0b10 << 62 | drawn & _62_BITS


def intent_id(uuid_hex: str) -> str:
    """`ai_` and the UUID in its usual spelling."""
    return f"{INTENT_PREFIX}{uuid_hex[:8]}-{uuid_hex[8:12]}-{uuid_hex[12:16]}-{uuid_hex[16:20]}-{uuid_hex[20:]}"


def is_name(text: str) -> bool:
    """Whether `text` can be the id of a tenant or an account. Those that begin with `_` are the ledger's own chains."""
    return _NAME.fullmatch(text) is not None


def is_intent_id(text: str) -> bool:
    """Whether `text` is spelled like an intent id; anything else cannot exist and need not be looked for."""
    return _INTENT_ID.fullmatch(text) is not None


def intent_uuid(action_intent_id: str) -> uuid.UUID:
    """The UUID inside an intent id."""
    return uuid.UUID(action_intent_id.removeprefix(INTENT_PREFIX))


def run_name(action_intent_id: str, run_number: int) -> str:
    """The run's name: `exec-{action_intent_id}`, with `-r{n}` from the second run on. It owns the lock."""
    base = f"exec-{action_intent_id}"
    return base if run_number == 1 else f"{base}-r{run_number}"

"""When two calls of an agent are the same proposal.

MCP clients and the transports below them send a call again when its answer was lost, and nothing in the protocol says
that it is the same call. So the same principal's identical call within ten minutes is the same intent.

Time is cut into windows of ten minutes. An intent made in window *w* reserves a key for *w* and one for *w + 1*, in the
commit that makes it. Whoever comes within ten minutes comes in one of these two windows and finds it, and of two that
come at the same moment, on two sides of an edge or in two processes, one finds the other's reservation in its way. What
is found may be older than ten minutes, when the first came early in its window; then the key of the next one is made
from the found one's id as well, so that again all who come find the same.
"""

from __future__ import annotations

from typing import Any, Final

from enactor.domain.canonical import digest
from enactor.domain.errors import InvalidInput
from enactor.domain.principal import Principal
from enactor.domain.time import epoch_ms
from enactor.ports.clock import Clock
from enactor.ports.store import Store

WINDOW_MS: Final = 10 * 60 * 1000
LONGEST_KEY: Final = 200


async def keys_of(
    by: Principal, tool: str, arguments: dict[str, Any], named: str | None, store: Store, clock: Clock
) -> tuple[str, ...]:
    """The idempotency keys of a call: the first one decides, the others are reserved with it.

    Args:
        named: the key that the caller gave, if it did; then time plays no part.

    Raises:
        InvalidInput: the caller's key is empty or too long.
    """
    if named is not None:
        if not 1 <= len(named) <= LONGEST_KEY or not named.isprintable():
            raise InvalidInput(f"An idempotency_key has 1 to {LONGEST_KEY} printable characters.")
        return (f"mcp-key:{named}",)
    call = digest(["enactor/mcp-call/v1", by.tenant_id, by.name, tool, arguments])
    window, _ = divmod(clock.now_ms(), WINDOW_MS)
    current, following = _key(call, window), _key(call, window + 1)
    known = await store.request(by.tenant_id, by.name, current)
    if known is not None and clock.now_ms() - epoch_ms(known.created_at) >= WINDOW_MS:
        current = _key(call, window, known.action_intent_id)
    return current, following


def _key(call: str, window: int, after: str = "") -> str:
    return f"mcp-call:{digest([call, window, after])}"

"""Pages of lists that are short and read whole: kill switches, budgets, connectors, revisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from enactor.domain.errors import InvalidPageToken
from enactor.domain.paging import Position, page_of, page_position, page_token
from enactor.domain.principal import Principal

Item = TypeVar("Item")


def slice_of(
    listing: str,
    by: Principal,
    items: Sequence[Item],
    key: Callable[[Item], str],
    limit: int,
    next_token: str | None,
) -> tuple[tuple[Item, ...], str | None]:
    """A page of `items`, and the token of the next one.

    Args:
        listing: its name, with what it is about.
        key: what an item is found again by; nothing ever leaves these lists.

    Raises:
        InvalidPageToken: the token is not of this listing.
    """
    first = 0
    if next_token is not None:
        (last,) = page_position(next_token, listing, by.tenant_id, None, (str,))
        keys = [key(item) for item in items]
        if last not in keys:
            raise InvalidPageToken("The page token is of a list that has changed since; begin again without one.")
        first = keys.index(str(last)) + 1

    def token(at: Position) -> str:
        return page_token(listing, by.tenant_id, None, at)

    return page_of(items[first : first + limit + 1], limit, token, lambda item: (key(item),))

"""Page tokens: opaque to clients, and good only for the listing, tenant and filter that they were made for."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from enactor.domain.canonical import canonical, digest
from enactor.domain.errors import InvalidInput, InvalidPageToken

Item = TypeVar("Item")
Position = tuple[str | int, ...]
"""Where a page ended, in the listing's own order."""

_MAX_LENGTH: Final = 4_096
_OF_ANOTHER: Final = "The page token was not made by this listing; begin again without one."


class _Token(Struct, frozen=True):
    at: Position


def page_token(listing: str, tenant_id: str, where: object, at: Position) -> str:
    """A token for what follows `at`.

    Args:
        listing: the listing's name.
        tenant_id: whose listing it is.
        where: the filter, anything `msgspec.to_builtins` takes.
        at: the position of the last item of the page.
    """
    # Not a secret: a token gives no right that the caller's own listing does not give. The hash keeps a token of one
    # listing, or a damaged one, from being taken for a position in another.
    bound = digest([listing, tenant_id, msgspec.to_builtins(where), at])[:32]
    return base64.urlsafe_b64encode(canonical({"at": at, "for": bound})).decode().rstrip("=")


def page_position(token: str, listing: str, tenant_id: str, where: object, kinds: tuple[type, ...]) -> Position:
    """The position in a token.

    Args:
        kinds: the types of the position's parts.

    Raises:
        InvalidPageToken: it was not made by this listing for this tenant and filter.
    """
    try:
        if len(token) > _MAX_LENGTH:
            raise ValueError("longer than any token")
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        at = msgspec.json.decode(text, type=_Token).at
        # A token has one spelling, and a change in it shows.
        if page_token(listing, tenant_id, where, at) == token and tuple(map(type, at)) == kinds:
            return at
    except (ValueError, InvalidInput, msgspec.MsgspecError, RecursionError):
        pass
    raise InvalidPageToken(_OF_ANOTHER)


def named_token(listing: str, token: str | None) -> str | None:
    """A store's token as `listing`'s own, where several listings are made of what one of the store's lists."""
    return None if token is None else f"{listing}.{token}"


def unnamed_token(listing: str, token: str | None) -> str | None:
    """The store's token in one of `named_token`. Raises `InvalidPageToken` for one of another listing."""
    # A store's own token has no dot, so that it is none of these, and one of these is none of a store's.
    if token is not None and not token.startswith(f"{listing}."):
        raise InvalidPageToken(_OF_ANOTHER)
    return None if token is None else token.removeprefix(f"{listing}.")


def page_of(
    items: Sequence[Item], limit: int, token: Callable[[Position], str], position: Callable[[Item], Position]
) -> tuple[tuple[Item, ...], str | None]:
    """A page's items and its token.

    Args:
        items: what was read from where the page begins: up to `limit + 1` items, so that the end shows.
        token: from a position to its token.
        position: from an item to its position in the listing.
    """
    if len(items) <= limit:
        return tuple(items), None
    page = tuple(items[:limit])
    return page, token(position(page[-1]))


def require_limit(limit: int) -> None:
    """Raises `InvalidInput` unless `limit` is at least 1."""
    if limit < 1:
        raise InvalidInput("A limit is at least 1.")

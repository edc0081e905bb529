"""One ordered stream from several, each read no further than needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

Content = TypeVar("Content")


async def merged(
    streams: Sequence[AsyncIterator[tuple[str, Content]]], *, newest_first: bool = False
) -> AsyncIterator[tuple[str, Content]]:
    """The pairs of all streams, in the order of their first members, in which each stream comes already."""
    # The first of each are read at the same time: they are in different partitions.
    heads = list(await asyncio.gather(*(anext(stream, None) for stream in streams)))
    while True:
        there = [(head[0], number) for number, head in enumerate(heads) if head is not None]
        if not there:
            return
        _, number = max(there) if newest_first else min(there)
        head = heads[number]
        if head is not None:
            yield head
        heads[number] = await anext(streams[number], None)

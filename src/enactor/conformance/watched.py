"""A store that counts its commits, and that a test can make die before or after any of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from enactor.conformance.target import Killed
from enactor.ports.commands import Command
from enactor.ports.store import Store


class Watched:
    """Passes everything on to `store`, until it is killed.

    Attributes:
        commits: the commits that were done, each with its commands.
        die_before: the number of the commit (from 1) that is not reached any more.
        die_after: the number of the commit that is done, and whose acknowledgement nobody hears.
        between: called before a commit is passed on, with its number, so that a test can come in between.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.commits: list[tuple[Command, ...]] = []
        self.die_before = 0
        self.die_after = 0
        self.between: Callable[[int], Awaitable[None]] | None = None
        self._tried = 0
        self._dead = False

    async def commit(self, commands: Sequence[Command]) -> None:
        """Commits, unless this is where the process dies."""
        self._tried += 1
        number = self._tried
        if self._dead or number == self.die_before:
            self._dead = True
            raise Killed
        if self.between is not None:
            await self.between(number)
        await self.store.commit(commands)
        self.commits.append(tuple(commands))
        if number == self.die_after:
            self._dead = True
            raise Killed

    def __getattr__(self, name: str) -> Any:
        if self._dead:
            raise Killed
        return getattr(self.store, name)

"""Commits: in order where they compete, together where they can be, each with its own answer.

Commits that wait for the same chain or record share one transaction. Each is judged for itself over the ones before
it, so that a conflict of one never disturbs another. Nothing is locked: conditions say what was seen, and when one
fails, DynamoDB says what is there now, and everything is judged again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final

from enactor.domain.errors import InvalidInput, StoreFailed
from enactor.ports.clock import Randomness
from enactor.ports.commands import Command, Conflict
from enactor.stores.dynamodb.ahead import lanes, looked_at
from enactor.stores.dynamodb.book import Shape
from enactor.stores.dynamodb.client import ATTEMPTS, Dynamo
from enactor.stores.dynamodb.commands import do
from enactor.stores.dynamodb.keys import Key
from enactor.stores.dynamodb.layers import Images, Layer, NeedErased, NeedItems, NeedOfIntent, NeedStarts
from enactor.stores.dynamodb.searches import Searches
from enactor.stores.dynamodb.transaction import MAX_ITEMS, TOKEN, Part, Sender, parts_of
from enactor.stores.dynamodb.wire import Item

_TOGETHER: Final = 50
"""Commits that share a transaction at most."""

_REMEMBERED: Final = 4_096
"""Items kept as guesses."""

_REMEMBERED_CHARACTERS: Final = 65_536
"""Longer records are read again instead."""

_AT_ONCE_WITHOUT_PAUSE: Final = 3
"""Judging again is free the first times; afterwards somebody else is given room."""

Written = Callable[[Sequence[tuple[Key, Item]]], None]


class _Commit:
    """One caller's commit."""

    __slots__ = ("commands", "done", "lanes")

    def __init__(self, commands: Sequence[Command], done: asyncio.Future[None]) -> None:
        self.commands = commands
        self.lanes = lanes(commands)
        self.done = done


class Writer:
    """The one way to write.

    Args:
        dynamo: the tables.
        shape: into how many parts hot items are spread.
        randomness: what tokens are made of.
        found: looks for what is not found by its key.
        written: told of every ledger entry that was appended.
        on_failure: called when a commit's fate is unknown or it could not be done.
    """

    def __init__(
        self,
        dynamo: Dynamo,
        shape: Shape,
        randomness: Randomness,
        found: Searches,
        written: Written,
        on_failure: Callable[[], None] | None = None,
    ) -> None:
        self._dynamo = dynamo
        self._shape = shape
        self._randomness = randomness
        self._found = found
        self._written = written
        self._on_failure = on_failure
        self._sender = Sender(dynamo)
        self._waiting: deque[_Commit] = deque()
        self._busy: set[str] = set()
        self._groups: set[asyncio.Task[None]] = set()
        self._guesses: OrderedDict[Key, Item] = OrderedDict()
        self._closed = False

    async def commit(self, commands: Sequence[Command]) -> None:
        """Does all of `commands` or none of them; see `ports.store.Store.commit`."""
        if self._closed:
            raise StoreFailed("The store is closed.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Commit(commands, done))
        self._begin()
        # A caller that is cancelled abandons its wait, not the commit.
        await asyncio.shield(done)

    async def close(self) -> None:
        """Finishes what was accepted."""
        self._closed = True
        while self._groups:
            await asyncio.wait(self._groups)

    # -- which commits go together -------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begins every group that need not wait for another one."""
        blocked = set(self._busy)
        later: deque[_Commit] = deque()
        groups: list[tuple[list[_Commit], set[str]]] = []
        for commit in self._waiting:
            rivals = [group for group in groups if not commit.lanes.isdisjoint(group[1])]
            full = bool(rivals) and len(rivals[0][0]) >= _TOGETHER
            if len(rivals) > 1 or full or not commit.lanes.isdisjoint(blocked):
                # Who comes after it and competes with it waits too.
                blocked |= commit.lanes
                later.append(commit)
            elif rivals:
                rivals[0][0].append(commit)
                rivals[0][1].update(commit.lanes)
            else:
                groups.append(([commit], set(commit.lanes)))
        self._waiting = later
        for commits, names in groups:
            self._busy |= names
            task = asyncio.ensure_future(self._run(commits, names))
            self._groups.add(task)
            task.add_done_callback(self._groups.discard)

    async def _run(self, commits: list[_Commit], names: set[str]) -> None:
        try:
            rest = await self._do(commits)
        except BaseException as error:
            failure = error if isinstance(error, StoreFailed | InvalidInput) else _own_fault(error)
            for commit in commits:
                _answer(commit, failure)
            rest = []
            if isinstance(failure, StoreFailed) and self._on_failure is not None:
                self._on_failure()
            if not isinstance(error, Exception):
                raise
        finally:
            self._busy -= names
        self._waiting.extendleft(reversed(rest))
        self._begin()

    # -- judging and sending -------------------------------------------------------------------------------------

    async def _do(self, commits: list[_Commit]) -> list[_Commit]:
        """Does the group. Returns those at its end that did not fit in."""
        images = Images(self._guesses)
        wanted = set().union(*(looked_at(commit.commands, self._shape) for commit in commits))
        await self._read(images, [key for key in wanted if not images.known(key)])
        for attempt in range(ATTEMPTS * 2):
            layer, answers, count = await self._judge(commits, images)
            parts = parts_of(layer)
            if any(not part.untouched for part in parts):
                token = self._randomness.bytes(16).hex()
                in_the_way = await self._sender.send(parts, token)
                if in_the_way is not None:
                    now = {key: await self._dynamo.whole(it) if it else None for key, it in in_the_way.items()}
                    images.update(now)
                    images.of_intents.clear()
                    self._forget(in_the_way)
                    if attempt >= _AT_ONCE_WITHOUT_PAUSE:
                        await self._dynamo.patience.pause(attempt - _AT_ONCE_WITHOUT_PAUSE)
                    continue
                self._remember(parts, token)
                self._written([(part.key, part.item) for part in parts if part.item and part.key in layer.absent])
            for commit, answer in zip(commits, answers, strict=False):
                _answer(commit, answer)
            return commits[count:]
        raise StoreFailed("A commit met others again and again, and did not happen. See docs/aws.md, limits.")

    async def _judge(
        self, commits: list[_Commit], images: Images
    ) -> tuple[Layer, list[Conflict | InvalidInput | None], int]:
        """What all of them want, each one's answer, and how many of them fit into one transaction."""
        while True:
            try:
                return self._judge_now(commits, images)
            except NeedItems as need:
                await self._read(images, need.keys)
            except NeedStarts as need:
                images.counted[need.window] = await self._found.count_starts(need)
            except NeedOfIntent as need:
                images.of_intents[need.action_intent_id] = await self._found.of_intent(need)
            except NeedErased as need:
                await self._found.erase_entries(need)
                del images.of_intents[need.action_intent_id]

    def _judge_now(
        self, commits: list[_Commit], images: Images
    ) -> tuple[Layer, list[Conflict | InvalidInput | None], int]:
        group = Layer(images)
        answers: list[Conflict | InvalidInput | None] = []
        for number, commit in enumerate(commits):
            layer = Layer(images, group)
            try:
                do(layer, commit.commands, self._shape)
            except Conflict as conflict:
                # A guess refuses nobody: what the conflict stands on is read.
                if guessed := images.guessed(layer.read):
                    raise NeedItems(guessed) from None
                answers.append(conflict)
                continue
            except InvalidInput as invalid:
                answers.append(invalid)
                continue
            if len(group.keys() | layer.keys()) > MAX_ITEMS:
                if any(answer is None for answer in answers):
                    return group, answers, number
                answers.append(InvalidInput("A commit touches more records than fit into one transaction."))
                continue
            group.absorb(layer)
            answers.append(None)
        return group, answers, len(commits)

    async def _read(self, images: Images, keys: Sequence[Key]) -> None:
        if keys:
            images.update(await self._dynamo.get_all(keys))

    # -- what is remembered --------------------------------------------------------------------------------------

    def _remember(self, parts: list[Part], token: str) -> None:
        for part in parts:
            if part.untouched or not part.checked or part.key.sk.startswith("ENTRY#"):
                continue
            if part.item is None or len(part.item.get("body", "")) > _REMEMBERED_CHARACTERS:
                self._guesses.pop(part.key, None)
            else:
                self._guesses[part.key] = {**part.item, TOKEN: token}
                self._guesses.move_to_end(part.key)
        while len(self._guesses) > _REMEMBERED:
            self._guesses.popitem(last=False)

    def _forget(self, in_the_way: dict[Key, Item | None]) -> None:
        for key in in_the_way:
            self._guesses.pop(key, None)


def _own_fault(error: BaseException) -> StoreFailed:
    return StoreFailed(f"The store met an error of its own ({type(error).__name__}) and could not commit.")


def _answer(commit: _Commit, answer: Exception | None) -> None:
    if commit.done.done():
        return
    if answer is None:
        commit.done.set_result(None)
    else:
        commit.done.set_exception(answer)
        # Nobody may be waiting any more.
        commit.done.exception()

"""Intents that do not fit into an item: their JSON is put aside as an artifact, and the item refers to it.

The reference is made from the content, so that judging a commit needs no answer from anywhere: the artifact is put
before the commit is judged, and what no commit came to refer to is litter and nothing worse.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from enactor.domain.errors import InvalidInput, StoreFailed
from enactor.domain.intent import ActionIntent
from enactor.ports.artifacts import ArtifactStore
from enactor.ports.commands import Command, CreateIntent, UpdateIntent
from enactor.stores.dynamodb import codec
from enactor.stores.dynamodb.wire import Item

Forget = Callable[[str, str], Awaitable[None]]


class LargeRecords:
    """Puts large records aside and brings them back.

    Args:
        artifacts: where; without it a record that does not fit is refused.
    """

    def __init__(self, artifacts: ArtifactStore | None) -> None:
        self._artifacts: Final = artifacts

    async def put_aside(self, commands: Sequence[Command]) -> None:
        """Puts aside what of the commands' records does not fit into an item.

        Raises:
            InvalidInput: there is no place for it.
        """
        for command in commands:
            if isinstance(command, CreateIntent | UpdateIntent):
                await self._put(command.intent)

    async def _put(self, intent: ActionIntent) -> None:
        if codec.ARTIFACT not in codec.stored(codec.body(intent)):
            return
        if self._artifacts is None:
            raise InvalidInput("The proposal is too large for a DynamoDB item. Set a bucket for what is large.")
        await self._artifacts.put(intent.tenant_id, codec.text_of(intent).encode())

    async def whole(self, item: Item) -> Item:
        """The item, with what was put aside back in it."""
        reference = item.get(codec.ARTIFACT)
        if reference is None:
            return item
        content = await self._artifacts.read(item["tenant_id"], reference) if self._artifacts is not None else None
        if content is None:
            raise StoreFailed("A large record is not where it was put aside: set the bucket that it was made with.")
        left: dict[str, Any] = {name: value for name, value in item.items() if name != codec.ARTIFACT}
        return {**left, "body": content.decode()}

    async def forget(self, tenant_id: str, references: Sequence[str]) -> None:
        """Deletes what was put aside, where the artifacts can be deleted."""
        forget: Forget | None = getattr(self._artifacts, "forget", None)
        if forget is not None:
            for reference in references:
                await forget(tenant_id, reference)

"""One transaction: its items and conditions, sending it, and finding out what became of it."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from enactor.domain.errors import StoreFailed
from enactor.stores.dynamodb import codec
from enactor.stores.dynamodb.client import ATTEMPTS, Dynamo
from enactor.stores.dynamodb.errors import NOT_NOW, Cancelled, NotNow, Unanswered
from enactor.stores.dynamodb.keys import Key
from enactor.stores.dynamodb.layers import Layer
from enactor.stores.dynamodb.wire import Item, spelled, spelled_item

MAX_ITEMS: Final = 100
"""DynamoDB's limit."""

TOKEN: Final = "txn"  # noqa: S105 - an attribute's name
"""The attribute that names the transaction that wrote the item last. Conditions compare it, because no two
transactions have one token and so an item that was deleted and made again is never taken for the old one; and whoever
has lost an answer looks for his own.
"""

_CONDITION_FAILED: Final = "ConditionalCheckFailed"
_CANNOT_TELL: Final = (
    "DynamoDB's answer to a commit was lost, and what it wrote was written over since: the store cannot tell "
    "whether it happened. Start again; what was acknowledged is kept."
)


class Part(Struct, frozen=True):
    """What a transaction does with one item.

    Attributes:
        item: what is written; None deletes it.
        checked: a condition is held against it.
        expected: its token before; None requires that there is no such item.
        untouched: it is only checked.
        changes: attributes that are changed; the item stays as it is otherwise.
    """

    key: Key
    item: Item | None
    checked: bool
    expected: str | None = None
    untouched: bool = False
    changes: Item | None = None


def parts_of(layer: Layer) -> list[Part]:
    """The transaction that a layer wants."""
    parts: list[Part] = []
    for key in sorted(layer.seen | layer.writes.keys()):
        checked = key in layer.seen or key in layer.absent
        image = None if key in layer.absent or not checked else layer.images.get(key)
        expected = str(image[TOKEN]) if image is not None else None
        if key not in layer.writes:
            parts.append(Part(key, None, True, expected, True))
        elif layer.writes[key] is not None or image is not None or not checked:
            parts.append(Part(key, layer.writes[key], checked, expected))
        else:
            # It was made and unmade, or was never there and shall not be.
            parts.append(Part(key, None, True, None, True))
    parts += [Part(key, None, False, changes=attributes) for key, attributes in sorted(layer.changes.items())]
    return parts


class Sender:
    """Sends transactions.

    Args:
        dynamo: what they are sent to.
    """

    def __init__(self, dynamo: Dynamo) -> None:
        self._dynamo = dynamo

    async def send(self, parts: list[Part], token: str) -> dict[Key, Item | None] | None:
        """Sends one transaction until it is known to have happened, or not to.

        Args:
            parts: its items, each once.
            token: new for each transaction; the same in each repetition.

        Returns:
            None when it happened. Otherwise the items that stood in its way, as they are now: judge again.

        Raises:
            StoreFailed: it cannot be done, or nobody can tell whether it was.
        """
        request = [self._operation(part, token) for part in parts]
        lost = False
        for attempt in range(ATTEMPTS):
            try:
                await self._dynamo.call("transact_write_items", TransactItems=request, ClientRequestToken=token)
                return None
            except Cancelled as cancelled:
                in_the_way = _in_the_way(parts, cancelled)
                # A repetition meets its own first sending as a stranger once its token is forgotten.
                if in_the_way:
                    return None if lost and await self._happened(parts, token) else in_the_way
            except NotNow:
                pass
            except Unanswered:
                lost = True
                if await self._happened(parts, token):
                    return None
            await self._dynamo.patience.pause(attempt)
        if lost:
            raise StoreFailed(_CANNOT_TELL)
        raise StoreFailed("DynamoDB has no capacity for a commit, which did not happen. See docs/aws.md, limits.")

    def _operation(self, part: Part, token: str) -> dict[str, Any]:
        request: dict[str, Any] = {"TableName": self._dynamo.table(part.key.table)}
        if part.checked:
            if part.expected is None:
                request["ConditionExpression"] = "attribute_not_exists(pk)"
            else:
                request["ConditionExpression"] = f"{TOKEN} = :expected"
                request["ExpressionAttributeValues"] = {":expected": {"S": part.expected}}
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        if part.item is not None:
            item = {**codec.stored(part.item), "pk": part.key.pk, "sk": part.key.sk, TOKEN: token}
            return {"Put": {**request, "Item": spelled_item(item)}}
        if part.changes is not None:
            return {"Update": {**self._dynamo.address(part.key), **_update(part.changes)}}
        request["Key"] = spelled_item({"pk": part.key.pk, "sk": part.key.sk})
        return {"ConditionCheck" if part.untouched else "Delete": request}

    async def _happened(self, parts: list[Part], token: str) -> bool:
        """Looks for the token of a transaction whose answer was lost.

        One item is enough, because a transaction happens whole or not at all. While the item is as it was before,
        the transaction has not happened, and may be sent again: it cannot happen twice, for its own conditions.

        Raises:
            StoreFailed: the item was written over since.
        """
        written = [part for part in parts if part.item is not None and part.checked]
        if not written:
            raise StoreFailed(_CANNOT_TELL)
        # Where an entry of the ledger stands, no other was ever written.
        entry = next((part for part in written if part.key.sk.startswith("ENTRY#")), None)
        witness = entry if entry is not None else written[0]
        found = await self._dynamo.get(witness.key)
        written_by = str(found[TOKEN]) if found is not None else None
        if written_by not in (token, witness.expected) and entry is None:
            raise StoreFailed(_CANNOT_TELL)
        return written_by == token


def _update(changes: Item) -> dict[str, Any]:
    return {
        "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in changes),
        "ConditionExpression": "attribute_exists(pk)",
        "ExpressionAttributeNames": {f"#{name}": name for name in changes},
        "ExpressionAttributeValues": {f":{name}": spelled(value) for name, value in changes.items()},
    }


def _in_the_way(parts: list[Part], cancelled: Cancelled) -> dict[Key, Item | None]:
    """The items whose conditions failed, as they are. Empty when the transaction was only in another's way."""
    failed: dict[Key, Item | None] = {}
    for part, reason in zip(parts, cancelled.reasons, strict=False):
        if reason.code == _CONDITION_FAILED:
            failed[part.key] = reason.item
        elif reason.code != "None" and reason.code not in NOT_NOW:
            raise StoreFailed(f"DynamoDB refuses an item of a commit: {reason.code[:80]}. Nothing of it happened.")
    return failed

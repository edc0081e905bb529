"""What DynamoDB's errors mean: for the store, which has to know whether a write happened, and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from enactor.domain.errors import StoreFailed
from enactor.stores.dynamodb.wire import Item, read_item

NOT_NOW: Final = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingError",
        "ThrottlingException",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
"""Codes that say "not now": nothing happened, or it is under way under this very token; ask again later."""

_ADVICE: Final = {
    "AccessDeniedException": "refuses this. Give this role the actions that docs/aws.md lists.",
    "ExpiredTokenException": "no longer accepts these credentials; renew them.",
    "ResourceNotFoundException": "lacks a table. Create the tables: enactor migrate, or the stack of deploy/aws.",
    "UnrecognizedClientException": "does not know these credentials.",
}


class Reason(Struct, frozen=True):
    """Why one item of a transaction stood in its way; `code` is "None" for one that did not."""

    code: str
    item: Item | None


class Cancelled(Exception):
    """A transaction did not happen."""

    def __init__(self, reasons: Sequence[Reason]) -> None:
        super().__init__(", ".join(sorted({reason.code for reason in reasons})))
        self.reasons = tuple(reasons)


class ConditionFailed(Exception):
    """A single write's condition did not hold; nothing happened."""


class NotNow(Exception):
    """Nothing happened; the same request may be sent again later."""


class Unanswered(Exception):
    """The request may have been done, or may still be done: its answer was lost."""


def of_answer(code: str, status: int, response: Mapping[str, Any]) -> Exception:
    """What an error that DynamoDB answered with means.

    Args:
        code: the error's code.
        status: of HTTP.
        response: the answer.
    """
    if code == "TransactionCanceledException":
        return Cancelled(
            [
                Reason(reason.get("Code") or "None", read_item(reason["Item"]) if reason.get("Item") else None)
                for reason in response.get("CancellationReasons", [])
            ]
        )
    if code == "ConditionalCheckFailedException":
        return ConditionFailed()
    if code in NOT_NOW:
        return NotNow(code)
    if status >= 500:
        return Unanswered(code)
    return StoreFailed(f"DynamoDB {_ADVICE.get(code, f'answers {code[:80]}. What was acknowledged is kept.')}")

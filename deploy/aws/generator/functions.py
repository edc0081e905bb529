"""The functions, and exactly what each of them may do.

`dynamodb` names, by table, the actions that a function is seen to use; `tests/aws` compares the two in both directions.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Function(NamedTuple):
    """A Lambda function.

    Attributes:
        handler: module and name.
        seconds: its time limit.
        memory: megabytes.
        dynamodb: by table, the actions allowed on it. A transaction needs those of its members.
        indexes: by table, the indexes that it may query.
        starts: whether it may start executions.
        publishes: whether it may put events on the bus.
        artifacts: what it may do with objects in the bucket of artifacts.
        secrets: whether it reads the connectors' and the gateway's credentials.
        settings: whether it gets the settings of connectors and gateway.
        schedule: how often it runs by itself.
    """

    name: str
    handler: str
    does: str
    seconds: int
    memory: int = 512
    dynamodb: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    indexes: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    starts: bool = False
    publishes: bool = False
    artifacts: tuple[str, ...] = ()
    secrets: bool = False
    settings: bool = False
    schedule: str = ""


_READ: Final = ("GetItem", "Query", "BatchGetItem")
_WRITE: Final = ("PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem")
_ALL: Final = dict.fromkeys(
    (
        "action-intents",
        "execution-attempts",
        "execution-outcomes",
        "action-type-registry",
        "external-write-dedupe",
        "ledger",
        "tenants",
    ),
    (*_READ, *_WRITE),
)

FUNCTIONS: Final = (
    Function("starter", "enactor.functions.starter.start", "starts executions", 30, dynamodb=_ALL, starts=True),
    Function("validator", "enactor.functions.steps.validator", "takes the lock; asks the preflight", 30, dynamodb=_ALL),
    Function(
        "mapper",
        "enactor.functions.steps.mapper",
        "compares the tool with what was approved",
        30,
        dynamodb=_ALL,
        secrets=True,
        settings=True,
    ),
    Function(
        "invoker",
        "enactor.functions.steps.invoker",
        "takes a permit, calls, settles",
        840,
        1024,
        dynamodb=_ALL,
        artifacts=("PutObject",),
        secrets=True,
        settings=True,
    ),
    Function(
        "compensator",
        "enactor.functions.steps.compensator",
        "takes a partial effect back",
        840,
        1024,
        dynamodb=_ALL,
        artifacts=("PutObject",),
        secrets=True,
        settings=True,
    ),
    Function("recorder", "enactor.functions.steps.recorder", "sees that the outcome is recorded", 30, dynamodb=_ALL),
    Function(
        "failure_recorder",
        "enactor.functions.steps.failure_recorder",
        "records what ended early",
        30,
        dynamodb=_ALL,
        secrets=True,
        settings=True,
    ),
    Function(
        "recoverer",
        "enactor.functions.steps.recoverer",
        "comes back to a run; looks up what is in doubt",
        840,
        1024,
        dynamodb=_ALL,
        secrets=True,
        settings=True,
    ),
    Function(
        "sweeper",
        "enactor.functions.sweeper.sweep",
        "takes up what nobody looks after; expires",
        120,
        dynamodb=_ALL,
        starts=True,
        schedule="rate(1 minute)",
    ),
    Function(
        "publisher",
        "enactor.functions.publisher.publish",
        "puts the ledger's events on the bus",
        55,
        dynamodb=_ALL,
        publishes=True,
        schedule="rate(1 minute)",
    ),
    Function(
        "api",
        "enactor.functions.api.answer",
        "the HTTP interface",
        29,
        1024,
        dynamodb=_ALL,
        publishes=True,
        secrets=True,
        settings=True,
    ),
)


def logical(name: str) -> str:
    """The logical id's beginning: `failure_recorder` is `FailureRecorder`."""
    return "".join(part.capitalize() for part in name.split("_"))


def dashed(name: str) -> str:
    """The name as resources have it: `failure_recorder` is `failure-recorder`."""
    return name.replace("_", "-")

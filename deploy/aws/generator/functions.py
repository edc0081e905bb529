"""The functions, and exactly what each of them may do.

`dynamodb` names, by table, the actions that a function is seen to use; `tests/aws` compares the two in both directions.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from enactor.stores.dynamodb.tables import TABLES


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
        signs: whether it reads the keys that sign the ledger's logs.
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
    signs: bool = False
    settings: bool = False
    schedule: str = ""


_READS: Final = {
    "action-intents": ("GetItem",),
    "action-type-registry": ("GetItem",),
    "execution-attempts": ("GetItem",),
    "execution-outcomes": ("GetItem",),
    "tenants": ("BatchGetItem", "GetItem"),
}
"""What reading a run takes: intent, lock, outcome, the pinned entry and the switches."""

_RUNS: Final = {
    "action-intents": ("BatchGetItem", "ConditionCheckItem", "GetItem", "PutItem"),
    "action-type-registry": ("GetItem",),
    "execution-attempts": ("BatchGetItem", "DeleteItem", "GetItem", "PutItem"),
    "execution-outcomes": ("BatchGetItem", "GetItem", "PutItem"),
    "external-write-dedupe": ("BatchGetItem", "ConditionCheckItem", "DeleteItem", "GetItem", "PutItem"),
    "ledger": ("BatchGetItem", "PutItem"),
    # The internal connector's notes and tasks are here, with what makes them once.
    "tenants": ("BatchGetItem", "ConditionCheckItem", "DeleteItem", "GetItem", "PutItem"),
}
"""What a step's commit takes. Any step may be the one that ends the run, so that those that write have it alike."""

_SWEEPS: Final = {
    "action-intents": ("BatchGetItem", "GetItem", "PutItem"),
    "execution-attempts": ("BatchGetItem", "ConditionCheckItem", "DeleteItem", "GetItem", "PutItem"),
    "execution-outcomes": ("BatchGetItem",),
    "external-write-dedupe": ("BatchGetItem", "DeleteItem"),
    "ledger": ("BatchGetItem", "PutItem"),
    # It is the first to open the store, and writes how that is laid out.
    "tenants": ("BatchGetItem", "GetItem", "PutItem"),
}
_PUBLISHES: Final = {
    # Entries get their positions by whoever reads them first.
    "ledger": ("BatchGetItem", "GetItem", "PutItem", "Query", "UpdateItem"),
    "tenants": ("GetItem", "UpdateItem"),
}
_CHECKPOINTS: Final = {
    # Beside what the publisher does there: log heads, leaves, tiles, checkpoints and keys, and their entries.
    "ledger": ("BatchGetItem", "ConditionCheckItem", "GetItem", "PutItem", "Query", "UpdateItem"),
    "tenants": ("GetItem", "UpdateItem"),
}
_EVERYTHING: Final = ("BatchGetItem", "ConditionCheckItem", "GetItem", "PutItem", "Query", "UpdateItem")
_API: Final = {table.name: _EVERYTHING if table.name == "ledger" else (*_EVERYTHING, "DeleteItem") for table in TABLES}
_CALL_SECONDS: Final = 840
_EVERY_MINUTE: Final = "rate(1 minute)"
_INDEXES: Final = {table.name: tuple(index.name for index in table.indexes) for table in TABLES if table.indexes}


def _step(
    name: str, does: str, *, writes: bool = True, tools: bool = True, waits: bool = False, keeps: bool = False
) -> Function:
    """A function of the pipeline.

    Args:
        writes: whether its commits may move a run.
        tools: whether it looks at tools, or calls them.
        waits: whether it waits for targets.
        keeps: whether it puts long answers aside.
    """
    return Function(
        name,
        f"enactor.functions.steps.{name}",
        does,
        _CALL_SECONDS if waits else 30,
        1024 if waits else 512,
        dynamodb=_RUNS if writes else _READS,
        artifacts=("PutObject",) if keeps else (),
        secrets=tools,
        settings=tools,
    )


FUNCTIONS: Final = (
    Function(
        "starter",
        "enactor.functions.starter.start",
        "starts executions",
        30,
        dynamodb={"action-intents": ("GetItem",), "tenants": ("GetItem",)},
        starts=True,
    ),
    _step("validator", "takes the lock; asks the preflight", tools=False),
    _step("mapper", "compares the tool with what was approved", writes=False),
    _step("invoker", "takes a permit, calls, settles", waits=True, keeps=True),
    _step("compensator", "takes a partial effect back", waits=True, keeps=True),
    # It sees that the outcome is there. Where it is not, Recover writes it.
    _step("recorder", "sees that the outcome is recorded", writes=False, tools=False),
    _step("failure_recorder", "records what ended early"),
    _step("recoverer", "comes back to a run; looks up what is in doubt", waits=True),
    Function(
        "sweeper",
        "enactor.functions.sweeper.sweep",
        "takes up what nobody looks after; expires",
        120,
        dynamodb=_SWEEPS,
        indexes={"execution-attempts": ("gsi1-index",)},
        starts=True,
        schedule=_EVERY_MINUTE,
    ),
    Function(
        "publisher",
        "enactor.functions.publisher.publish",
        "puts the ledger's events on the bus",
        55,
        dynamodb=_PUBLISHES,
        indexes={"ledger": ("gsi4-index",)},
        publishes=True,
        schedule=_EVERY_MINUTE,
    ),
    Function(
        "checkpointer",
        "enactor.functions.checkpointer.checkpoint",
        "merges chains into the tenants' logs, and signs them",
        120,
        dynamodb=_CHECKPOINTS,
        indexes={"ledger": ("gsi4-index",)},
        signs=True,
        schedule=_EVERY_MINUTE,
    ),
    Function(
        "api",
        "enactor.functions.api.answer",
        "the HTTP interface",
        29,
        1024,
        dynamodb=_API,
        indexes=_INDEXES,
        publishes=True,
        # What is erased is deleted in every version; nothing else deletes objects.
        artifacts=("DeleteObjectVersion",),
        secrets=True,
        signs=True,
        settings=True,
    ),
)

WRITERS: Final = frozenset({"validator", "invoker", "compensator", "failure_recorder", "recoverer"})
"""Those that have the same grants, because each may be the one that ends a run."""


def logical(name: str) -> str:
    """The logical id's beginning: `failure_recorder` is `FailureRecorder`."""
    return "".join(part.capitalize() for part in name.split("_"))


def dashed(name: str) -> str:
    """The name as resources have it: `failure_recorder` is `failure-recorder`."""
    return name.replace("_", "-")

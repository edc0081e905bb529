"""Where each item is: table, partition key and sort key. The README of this package has the list with conditions."""

from __future__ import annotations

import hashlib
import zlib
from typing import Final, NamedTuple

from enactor.stores.dynamodb import tables

_LONGEST: Final = 512
"""A partition key may have 2048 bytes and a sort key 1024; nothing of ours comes near."""


class Key(NamedTuple):
    """The place of one item; `table` without the prefix."""

    table: str
    pk: str
    sk: str


def fits(*parts: str) -> bool:
    """Whether what a caller asks for can be part of a key at all; what cannot does not exist."""
    return all(len(part) <= _LONGEST and part.isprintable() for part in parts)


def shard_of(name: str, shards: int) -> int:
    """The same shard for the same name, everywhere and for ever."""
    return zlib.crc32(name.encode()) % shards


def _hashed(*parts: str) -> str:
    """Names that people choose, however long, in a key of one length. The lengths keep parts from shifting."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


def chain(tenant_id: str, account_id: str) -> str:
    """The partition of an account's records, in each table."""
    return f"TENANT#{tenant_id}#ACCOUNT#{account_id}"


# -- intents ---------------------------------------------------------------------------------------------------------


def intent(tenant_id: str, account_id: str, action_intent_id: str) -> Key:
    """The intent as it is now."""
    return Key(tables.INTENTS, chain(tenant_id, account_id), f"ACTION_INTENT#{action_intent_id}")


def revision(tenant_id: str, account_id: str, action_intent_id: str, number: int) -> Key:
    """The last record of an earlier revision."""
    return Key(tables.INTENTS, chain(tenant_id, account_id), f"REVISION#{action_intent_id}#{number:08d}")


def place(action_intent_id: str) -> Key:
    """Whose the intent is, and how many ledger entries and decisions it has: by its id alone."""
    return Key(tables.INTENTS, f"ACTION_INTENT#{action_intent_id}", "PLACE")


def approval(action_intent_id: str, revision_number: int, run_number: int, decided_by: str) -> Key:
    """What one person said about one revision and run."""
    said = f"APPROVAL#{revision_number}#{run_number}#{_hashed(decided_by)}"
    return Key(tables.INTENTS, f"ACTION_INTENT#{action_intent_id}", said)


def pending(tenant_id: str, proposer: str | None = None) -> Key:
    """How many intents wait for approval: the tenant's, or one proposer's."""
    return Key(tables.TENANTS, f"TENANT#{tenant_id}", f"PENDING#{_hashed(proposer)}" if proposer else "PENDING")


def request(tenant_id: str, principal: str, key: str) -> Key:
    """An `Idempotency-Key`."""
    return Key(tables.DEDUPE, f"TENANT#{tenant_id}#REQUEST#{_hashed(principal, key)}", "REQUEST")


def effect(tenant_id: str, effect_key: str) -> Key:
    """Who holds an effect key."""
    return Key(tables.DEDUPE, f"TENANT#{tenant_id}#EFFECT#{_hashed(effect_key)}", "HOLDER")


# -- runs ------------------------------------------------------------------------------------------------------------


def execution(tenant_id: str, account_id: str, action_intent_id: str) -> Key:
    """The lock, with the intent's permits and cancel requests."""
    return Key(tables.ATTEMPTS, chain(tenant_id, account_id), f"EXECUTION#{action_intent_id}")


def permit(idempotency_key: str, action_intent_id: str, call_no: int) -> Key:
    """One call under an idempotency key, which every undo of one run shares."""
    return Key(
        tables.DEDUPE, f"IDEMPOTENCY_KEY#{idempotency_key}", f"ACTION_INTENT#{action_intent_id}#CALL#{call_no:06d}"
    )


def outcome(tenant_id: str, account_id: str, action_intent_id: str) -> Key:
    """The newest outcome."""
    return Key(tables.OUTCOMES, chain(tenant_id, account_id), f"OUTCOME#{action_intent_id}")


def earlier_outcome(tenant_id: str, account_id: str, action_intent_id: str, run_number: int, revision: int) -> Key:
    """An outcome that another one follows."""
    current = outcome(tenant_id, account_id, action_intent_id)
    return current._replace(sk=f"{current.sk}#RUN#{run_number}#REV#{revision}")


def live(tenant_id: str, shard: int, action_intent_id: str) -> Key:
    """What reports and sweepers know of an intent that is pending, approved, running or in doubt."""
    return Key(tables.ATTEMPTS, live_partition(tenant_id, shard), action_intent_id)


def live_partition(tenant_id: str, shard: int) -> str:
    """The partition of `live`."""
    return f"TENANT#{tenant_id}#LIVE#{shard}"


def ended(tenant_id: str, shard: int, updated_at: str, action_intent_id: str) -> Key:
    """The same of a run that ended, by the instant."""
    return Key(tables.ATTEMPTS, ended_partition(tenant_id, shard), f"{updated_at}#{action_intent_id}")


def ended_partition(tenant_id: str, shard: int) -> str:
    """The partition of `ended`."""
    return f"TENANT#{tenant_id}#ENDED#{shard}"


# -- what is configured ----------------------------------------------------------------------------------------------


def registry_version(tenant_id: str, action_type: str, version: int) -> Key:
    """A version of an entry of the platform (tenant "") or a tenant."""
    owner = f"TENANT#{tenant_id}#" if tenant_id else ""
    return Key(tables.REGISTRY, f"ACTION_TYPE#{action_type}", f"{owner}REGISTRY_VERSION#{version}")


def latest_version(tenant_id: str, action_type: str) -> Key:
    """The latest version of an entry."""
    return Key(tables.REGISTRY, f"LATEST#{tenant_id}", f"ACTION_TYPE#{action_type}")


def owner_of(scope: str) -> str:
    """The tenant whose switch a scope is; "" is the platform."""
    return scope.removeprefix("tenant:").partition("/")[0] if scope.startswith("tenant:") else ""


def switch(scope: str) -> Key:
    """A kill switch."""
    return Key(tables.TENANTS, f"SWITCHES#{owner_of(scope)}", scope)


def gate(owner: str, shard: int) -> Key:
    """A copy of what stops starts and permits: the owner's switch generations, and its budgets."""
    return Key(tables.TENANTS, f"GATE#{shard}#{owner}", "GATE")


def starts(tenant_id: str, shard: int, second: int, action_type: str) -> Key:
    """How many runs of a type started in a second."""
    return Key(tables.TENANTS, starts_partition(tenant_id, shard), f"{second:012d}#{action_type}")


def starts_partition(tenant_id: str, shard: int) -> str:
    """The partition of `starts`."""
    return f"TENANT#{tenant_id}#STARTS#{shard}"


def budget_window(tenant_id: str, action_type: str, version: int, window: int) -> Key:
    """How many starts a window of a budget has seen."""
    return Key(tables.TENANTS, f"TENANT#{tenant_id}#BUDGET#{action_type}", f"{version}#{window:012d}")


def budgets(tenant_id: str) -> Key:
    """A tenant's budgets."""
    return Key(tables.TENANTS, f"TENANT#{tenant_id}", "BUDGETS")


def policies(tenant_id: str) -> Key:
    """A tenant's policies."""
    return Key(tables.TENANTS, f"TENANT#{tenant_id}", "POLICIES")


def created(tenant_id: str, creation_key: str) -> Key:
    """The internal object that a key made, also after it was deleted."""
    return Key(tables.DEDUPE, f"TENANT#{tenant_id}#CREATION#{_hashed(creation_key)}", "OBJECT")


def internal_object(tenant_id: str, object_id: str) -> Key:
    """An internal object."""
    return Key(tables.TENANTS, f"TENANT#{tenant_id}#OBJECT", object_id)


def object_row(tenant_id: str, object_type: str, created_at: str, object_id: str) -> Key:
    """The object's line in its listing."""
    return Key(tables.TENANTS, f"TENANT#{tenant_id}#OBJECTS#{object_type}", f"{created_at}#{object_id}")


# -- the ledger ------------------------------------------------------------------------------------------------------


def head(tenant_id: str, account_id: str) -> Key:
    """The newest entry's number and hash."""
    return Key(tables.LEDGER, chain(tenant_id, account_id), "HEAD")


def entry(tenant_id: str, account_id: str, seq: int) -> Key:
    """An entry."""
    return Key(tables.LEDGER, chain(tenant_id, account_id), f"ENTRY#{seq:012d}")


TAIL: Final = Key(tables.LEDGER, "LOG_TAIL", "TAIL")
LOG: Final = "LOG"


def tenant_log(tenant_id: str) -> str:
    """The partition of the pages of one tenant."""
    return f"TENANT_LOG#{tenant_id}"


def page(log: str, last: int) -> Key:
    """The page of a log that ends with a position."""
    return Key(tables.LEDGER, log, f"{last:016d}")


# -- consumers and the store itself ----------------------------------------------------------------------------------


def consumer(name: str) -> str:
    """The partition of a consumer of the events."""
    return f"CONSUMER#{name}"


def cursor(name: str) -> Key:
    """How far a consumer has come."""
    return Key(tables.TENANTS, consumer(name), "CURSOR")


def undelivered(name: str, position: int) -> Key:
    """An event that a consumer has not taken."""
    return Key(tables.TENANTS, consumer(name), f"EVENT#{position:016d}")


META: Final = Key(tables.TENANTS, "META", "STORE")


# -- Merkle logs -----------------------------------------------------------------------------------------------------

MERKLE_HEADS: Final = "MERKLE_HEADS"


def log_head(tenant_id: str) -> Key:
    """Where a tenant's log ends. All of them are in one partition, so that they can be listed."""
    return Key(tables.LEDGER, MERKLE_HEADS, f"TENANT#{tenant_id}")


def log_tile(tenant_id: str, level: int, index: int) -> Key:
    """A tile of a tenant's log."""
    return Key(tables.LEDGER, f"MERKLE#{tenant_id}#{level}", f"TILE#{index:012d}")


def log_leaf(tenant_id: str, entry_id: str) -> Key:
    """Where an entry is in its tenant's log."""
    return Key(tables.LEDGER, f"MERKLE_LEAF#{tenant_id}#{entry_id}", "LEAF")


def checkpoints(tenant_id: str) -> str:
    """The partition of a tenant's checkpoints."""
    return f"CHECKPOINTS#{tenant_id}"


def checkpoint(tenant_id: str, size: int) -> Key:
    """A checkpoint."""
    return Key(tables.LEDGER, checkpoints(tenant_id), f"SIZE#{size:016d}")


def newest_checkpoint(tenant_id: str) -> Key:
    """The newest one's size: what the next one's condition is held against."""
    return Key(tables.LEDGER, checkpoints(tenant_id), "NEWEST")


def log_keys(tenant_id: str) -> str:
    """The partition of a tenant's published keys."""
    return f"LOG_KEYS#{tenant_id}"


def log_key(tenant_id: str, name: str) -> Key:
    """A published key."""
    return Key(tables.LEDGER, log_keys(tenant_id), _hashed(name))

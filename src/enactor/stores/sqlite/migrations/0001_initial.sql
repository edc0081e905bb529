-- Schema version 1. `body` is the whole record as JSON; the other columns are there for conditions and listings.
--
-- Ids are UUIDv7s, so whatever is written lately lies together, in tables and in their indexes. Tables with bodies keep
-- their rowids: a row of a table WITHOUT ROWID that is longer than a quarter of a page spills into a page of its own,
-- which doubles what a commit writes. Small tables that are only looked up by their key are clustered on it.
--
-- The conditions of partial indexes are comparisons, because SQLite builds a table for a longer IN list at every row.

CREATE TABLE intents (
    action_intent_id TEXT NOT NULL PRIMARY KEY,
    tenant_id        TEXT NOT NULL,
    account_id       TEXT NOT NULL,
    action_type      TEXT NOT NULL,
    connector_id     TEXT NOT NULL,
    proposed_by      TEXT NOT NULL,
    status           TEXT NOT NULL,
    revision         INTEGER NOT NULL,
    body             TEXT NOT NULL
) STRICT;

CREATE INDEX intents_by_tenant ON intents (tenant_id, action_intent_id, account_id, action_type, proposed_by);

CREATE INDEX intents_closed ON intents (tenant_id, status, action_intent_id)
    WHERE status <> 'PENDING_APPROVAL' AND status <> 'APPROVED';

-- The last record of each revision but the current one.
CREATE TABLE earlier_revisions (
    action_intent_id TEXT NOT NULL,
    revision         INTEGER NOT NULL,
    body             TEXT NOT NULL,
    PRIMARY KEY (action_intent_id, revision)
) STRICT;

-- What is not over: intents that wait for approval or for their start, runs that run or are in doubt. The end takes the
-- row away, so that what needs looking after is found among that and not among everything that ever ran. The start does
-- not touch it: a row of `executions` with a status says more than the `status` here, which is PENDING or
-- PENDING_APPROVAL. The row has all that the conditions of a start ask for, and the positions of the intent's entries in
-- the ledger before its start.
CREATE TABLE unfinished (
    action_intent_id TEXT NOT NULL PRIMARY KEY,
    tenant_id        TEXT NOT NULL,
    account_id       TEXT NOT NULL,
    action_type      TEXT NOT NULL,
    connector_id     TEXT NOT NULL,
    proposed_by      TEXT NOT NULL,
    status           TEXT NOT NULL,
    shadow           INTEGER NOT NULL,
    expires_at_epoch INTEGER NOT NULL,
    revision         INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    approval_digest  TEXT NOT NULL,
    effect_key       TEXT,
    entries          TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE effect_keys (
    tenant_id        TEXT NOT NULL,
    effect_key       TEXT NOT NULL,
    action_intent_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, effect_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (
    tenant_id TEXT NOT NULL,
    principal TEXT NOT NULL,
    key       TEXT NOT NULL,
    body      TEXT NOT NULL,
    PRIMARY KEY (tenant_id, principal, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE approvals (
    action_intent_id TEXT NOT NULL,
    number           INTEGER NOT NULL,
    body             TEXT NOT NULL,
    PRIMARY KEY (action_intent_id, number)
) STRICT, WITHOUT ROWID;

-- Everything about an intent's runs in one row, because a commit writes a page for each table and index it touches:
-- `body` has the attempt, which is the lock, the permits of all runs, the outcomes with their revisions, and the cancel
-- requests. `status` is the attempt's, or empty while there is none. Rows are numbered in the order in which they came;
-- `charged_second` is when the first run was charged to the budgets, 0 if it was not; `entries` are the positions of the
-- intent's entries in the ledger. Intents that end without a run have a row for the sake of those.
CREATE TABLE executions (
    number           INTEGER NOT NULL PRIMARY KEY,
    action_intent_id TEXT NOT NULL UNIQUE,
    tenant_id        TEXT NOT NULL,
    action_type      TEXT NOT NULL,
    status           TEXT NOT NULL,
    run_number       INTEGER NOT NULL,
    updated_at       TEXT NOT NULL,
    resume_at        INTEGER NOT NULL,
    deadline_at      INTEGER NOT NULL,
    charged_second   INTEGER NOT NULL,
    entries          TEXT NOT NULL,
    body             TEXT NOT NULL
) STRICT;

CREATE INDEX executions_ended ON executions (tenant_id, updated_at)
    WHERE status <> '' AND status <> 'RUNNING' AND status <> 'IN_DOUBT';

CREATE INDEX executions_without_effect ON executions (tenant_id, status, action_intent_id)
    WHERE status <> '' AND status <> 'RUNNING' AND status <> 'SUCCEEDED' AND status <> 'IN_DOUBT';

-- The ledger is only ever appended to.
CREATE TABLE ledger (
    position          INTEGER NOT NULL PRIMARY KEY,
    tenant_id         TEXT NOT NULL,
    account_id        TEXT NOT NULL,
    seq               INTEGER NOT NULL,
    action_intent_id  TEXT NOT NULL,
    sequence          INTEGER NOT NULL,
    run_number        INTEGER NOT NULL,
    event_type        TEXT NOT NULL,
    timestamp         TEXT NOT NULL,
    actor             TEXT NOT NULL,
    trace_id          TEXT NOT NULL,
    decision_trace_id TEXT NOT NULL,
    entry_id          TEXT NOT NULL,
    data              TEXT NOT NULL,
    salt              TEXT NOT NULL,
    data_commitment   TEXT NOT NULL,
    prev_hash         TEXT NOT NULL,
    hash              TEXT NOT NULL
) STRICT;

CREATE INDEX ledger_without_intent ON ledger (trace_id, decision_trace_id) WHERE action_intent_id = '';

-- Indexes of the ledger and counts of starts that are kept up in strides and not by every commit: they cover the entries
-- up to `position` and the executions up to `number`. What is newer is at most a stride, and is searched as it is.
CREATE TABLE strides (
    position INTEGER NOT NULL,
    number   INTEGER NOT NULL
) STRICT;

INSERT INTO strides VALUES (0, 0);

CREATE TABLE ledger_of_chains (
    tenant_id  TEXT NOT NULL,
    account_id TEXT NOT NULL,
    position   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, account_id, position)
) STRICT, WITHOUT ROWID;

-- Which intents a trace has entries of.
CREATE TABLE traces (
    trace_id         TEXT NOT NULL,
    action_intent_id TEXT NOT NULL,
    PRIMARY KEY (trace_id, action_intent_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE action_types (
    tenant_id        TEXT NOT NULL,
    action_type      TEXT NOT NULL,
    registry_version INTEGER NOT NULL,
    body             TEXT NOT NULL,
    PRIMARY KEY (tenant_id, action_type, registry_version)
) STRICT;

CREATE TABLE kill_switches (
    scope TEXT NOT NULL PRIMARY KEY,
    body  TEXT NOT NULL
) STRICT;

CREATE TABLE budgets (
    tenant_id   TEXT NOT NULL,
    action_type TEXT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (tenant_id, action_type)
) STRICT;

-- How many charged runs started in each second: enough to know what any window has used, whenever it is set. First runs
-- are counted in strides, see above; until then their own rows tell.
CREATE TABLE budget_starts (
    tenant_id   TEXT NOT NULL,
    second      INTEGER NOT NULL,
    action_type TEXT NOT NULL,
    starts      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, second, action_type)
) STRICT, WITHOUT ROWID;

CREATE TABLE policies (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    version   INTEGER NOT NULL,
    body      TEXT NOT NULL
) STRICT;

-- Internal objects. A deleted one stays as what its key made, so that a late call does not make it again.
CREATE TABLE objects (
    tenant_id    TEXT NOT NULL,
    object_id    TEXT NOT NULL,
    account_id   TEXT NOT NULL,
    object_type  TEXT NOT NULL,
    creation_key TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    deleted      INTEGER NOT NULL,
    body         TEXT NOT NULL,
    PRIMARY KEY (tenant_id, object_id)
) STRICT;

CREATE UNIQUE INDEX objects_by_creation_key ON objects (tenant_id, creation_key);

CREATE INDEX objects_by_age ON objects (tenant_id, object_type, created_at, object_id) WHERE deleted = 0;

CREATE TABLE delivery_cursors (
    name     TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE undelivered (
    consumer TEXT NOT NULL,
    dead     INTEGER NOT NULL,
    position INTEGER NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (consumer, dead, position)
) STRICT;

-- Schema version 2: the Merkle logs over the ledger, one a tenant. They are written after the ledger, by commits of
-- their own, so that an execution's commits know nothing of them.

-- Where each log ends. `position` is that of its last entry in the ledger.
CREATE TABLE log_heads (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    size      INTEGER NOT NULL,
    root      TEXT NOT NULL,
    position  INTEGER NOT NULL
) STRICT;

-- Up to 256 hashes of 32 bytes, each the root of 256^level leaves. A full tile never changes.
CREATE TABLE log_tiles (
    tenant_id TEXT NOT NULL,
    level     INTEGER NOT NULL,
    tile      INTEGER NOT NULL,
    hashes    BLOB NOT NULL,
    PRIMARY KEY (tenant_id, level, tile)
) STRICT;

-- Where an entry is in the log of its tenant. Entries' ids are UUIDv7s, so what is added lies together.
CREATE TABLE log_leaves (
    entry_id   TEXT NOT NULL,
    tenant_id  TEXT NOT NULL,
    leaf_index INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    PRIMARY KEY (entry_id, tenant_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE log_checkpoints (
    tenant_id TEXT NOT NULL,
    size      INTEGER NOT NULL,
    body      TEXT NOT NULL,
    PRIMARY KEY (tenant_id, size)
) STRICT;

CREATE TABLE log_keys (
    tenant_id  TEXT NOT NULL,
    key        TEXT NOT NULL,
    valid_from TEXT NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (tenant_id, key)
) STRICT;

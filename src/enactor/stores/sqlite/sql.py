"""Every statement that writes, in the order in which a batch's rows are written."""

from __future__ import annotations

from typing import Final

ADD_INTENT: Final = "INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
CHANGE_INTENT: Final = "UPDATE intents SET status = ?2, revision = ?3, body = ?4 WHERE action_intent_id = ?1"
KEEP_REVISION: Final = (
    "INSERT OR REPLACE INTO earlier_revisions SELECT action_intent_id, revision, body FROM intents "
    "WHERE action_intent_id = ?"
)
PUT_UNFINISHED: Final = "INSERT OR REPLACE INTO unfinished VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
DROP_UNFINISHED: Final = "DELETE FROM unfinished WHERE action_intent_id = ?"
PUT_EFFECT_KEY: Final = "INSERT OR REPLACE INTO effect_keys VALUES (?, ?, ?)"
DROP_EFFECT_KEY: Final = "DELETE FROM effect_keys WHERE tenant_id = ? AND effect_key = ?"
ADD_REQUEST: Final = "INSERT INTO requests VALUES (?, ?, ?, ?)"
ADD_APPROVAL: Final = "INSERT INTO approvals VALUES (?, ?, ?)"
ADD_EXECUTION: Final = "INSERT INTO executions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
CHANGE_EXECUTION: Final = (
    "UPDATE executions SET status = ?2, run_number = ?3, updated_at = ?4, resume_at = ?5, deadline_at = ?6, "
    "charged_second = ?7, entries = ?8, body = ?9 WHERE number = ?1"
)
ADD_LEDGER: Final = "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
ADD_ACTION_TYPE: Final = "INSERT INTO action_types VALUES (?, ?, ?, ?)"
CHANGE_ACTION_TYPE: Final = (
    "UPDATE action_types SET body = ?4 WHERE tenant_id = ?1 AND action_type = ?2 AND registry_version = ?3"
)
PUT_SWITCH: Final = "INSERT OR REPLACE INTO kill_switches VALUES (?, ?)"
PUT_BUDGET: Final = "INSERT OR REPLACE INTO budgets VALUES (?, ?, ?)"
ADD_STARTS: Final = (
    "INSERT INTO budget_starts VALUES (?, ?, ?, ?) "
    "ON CONFLICT (tenant_id, second, action_type) DO UPDATE SET starts = starts + excluded.starts"
)
PUT_POLICIES: Final = "INSERT OR REPLACE INTO policies VALUES (?, ?, ?)"
ADD_OBJECT: Final = "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, 0, ?)"
DELETE_OBJECT: Final = "UPDATE objects SET deleted = 1 WHERE tenant_id = ? AND object_id = ?"
MOVE_CURSOR: Final = (
    "INSERT INTO delivery_cursors VALUES (?, ?) "
    "ON CONFLICT (name) DO UPDATE SET position = max(position, excluded.position)"
)
FORGET_UNDELIVERED: Final = "DELETE FROM undelivered WHERE consumer = ? AND position = ?"
KEEP_UNDELIVERED: Final = "INSERT INTO undelivered VALUES (?, ?, ?, ?)"
PUT_LOG_HEAD: Final = "INSERT OR REPLACE INTO log_heads VALUES (?, ?, ?, ?)"
PUT_LOG_TILE: Final = "INSERT OR REPLACE INTO log_tiles VALUES (?, ?, ?, ?)"
ADD_LOG_LEAF: Final = "INSERT INTO log_leaves VALUES (?, ?, ?, ?)"
PUT_LOG_CHECKPOINT: Final = "INSERT OR REPLACE INTO log_checkpoints VALUES (?, ?, ?)"
PUT_LOG_KEY: Final = "INSERT OR REPLACE INTO log_keys VALUES (?, ?, ?, ?)"

ORDER: Final = (
    ADD_INTENT,
    KEEP_REVISION,
    CHANGE_INTENT,
    DROP_UNFINISHED,
    PUT_UNFINISHED,
    DROP_EFFECT_KEY,
    PUT_EFFECT_KEY,
    ADD_REQUEST,
    ADD_APPROVAL,
    ADD_EXECUTION,
    CHANGE_EXECUTION,
    ADD_LEDGER,
    ADD_ACTION_TYPE,
    CHANGE_ACTION_TYPE,
    PUT_SWITCH,
    PUT_BUDGET,
    ADD_STARTS,
    PUT_POLICIES,
    ADD_OBJECT,
    DELETE_OBJECT,
    MOVE_CURSOR,
    FORGET_UNDELIVERED,
    KEEP_UNDELIVERED,
    PUT_LOG_HEAD,
    PUT_LOG_TILE,
    ADD_LOG_LEAF,
    PUT_LOG_CHECKPOINT,
    PUT_LOG_KEY,
)
"""What adds a row stands before what changes it, so that a batch may do both to one record."""

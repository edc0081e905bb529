"""Keys: what makes a call the same call, and an effect the same effect (specification, section 3)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from enactor.domain.action_type import ActionType
from enactor.domain.canonical import canonical, own_json
from enactor.domain.errors import InvalidParameters
from enactor.domain.mapping import is_secret_reference, template_fields

_BRACES = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def idempotency_key(
    *,
    tenant_id: str,
    action_intent_id: str,
    revision: int,
    purpose: str,
    generation: int,
    tool_name: str,
    argument_bytes: str,
) -> str:
    """The key of a call: the same on retry, recovery, replay and after NOT_EXECUTED.

    An array is hashed, so nothing can be shifted from one field to the next.

    Args:
        purpose: `EFFECT` or `COMPENSATION`.
        generation: grows only where a failure burns the key and every call was NOT_SENT or REFUSED.
        argument_bytes: the frozen canonical JSON of the arguments.
    """
    return hashlib.sha256(
        own_json(
            [
                "enactor/idempotency/v1",
                tenant_id,
                action_intent_id,
                revision,
                purpose,
                generation,
                tool_name,
                argument_bytes,
            ]
        )
    ).hexdigest()


def undo_key(*, tenant_id: str, original_key: str, run_number: int, generation: int, tool_name: str) -> str:
    """The key of what takes a run's effect back: derived from the effect's own, so every undo of a run has the same.

    Args:
        original_key: the key under which the effect was made.
        run_number: the run that made it.
    """
    return hashlib.sha256(
        canonical(["enactor/undo/v1", tenant_id, original_key, run_number, generation, tool_name])
    ).hexdigest()


def undo_effect_key(action_intent_id: str, run_number: int) -> str:
    """The effect key of an undo: one lock per original run."""
    return f"undo:{action_intent_id}:{run_number}"


def effect_key(entry: ActionType, parameters: Mapping[str, Any]) -> str | None:
    """The effect key of a proposal, or None when the action type has no template.

    Values are escaped so that two different sets of values cannot give one key.

    Raises:
        InvalidParameters: a parameter the template needs is missing or is not a plain value.
    """
    if entry.effect_key is None:
        return None
    values: dict[str, str] = {}
    for name in template_fields(entry.effect_key):
        item = parameters.get(name)
        if item is None or is_secret_reference(item) or not isinstance(item, str | int | bool):
            raise InvalidParameters(
                f"Parameter '{name}' is required and must be text, an integer or a boolean: it identifies the effect.",
                parameter=name,
            )
        text = item if isinstance(item, str) else canonical(item).decode()
        values[name] = text.replace("%", "%25").replace(":", "%3A").replace("/", "%2F")
    return _BRACES.sub(lambda match: values[match[1]], entry.effect_key)

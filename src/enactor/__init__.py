"""Enactor turns an approved agent action into one effect in the real world, and can prove what happened.

The names below are the public ones. They are loaded when they are first used, so that importing a part of the package
stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enactor.connectors.sdk import (
        Absent,
        CannotTell,
        ChangedSince,
        Connector,
        Found,
        NotSent,
        PreviewResult,
        Refused,
        ToolCall,
        ToolResult,
        UndoArguments,
        tool,
    )
    from enactor.domain.action_type import RiskClass
    from enactor.domain.action_type import WriteMode as WriteSemantics
    from enactor.domain.errors import EnactorError
    from enactor.domain.intent import ExecutionPolicy, Target
    from enactor.domain.outcome import ActionOutcome, ObjectRef
    from enactor.domain.principal import Principal, Role, agent, person
    from enactor.service.core import Limits
    from enactor.wiring.facade import Enactor

_SDK = "enactor.connectors.sdk"
_HOMES = {
    "Absent": (_SDK, "Absent"),
    "ActionOutcome": ("enactor.domain.outcome", "ActionOutcome"),
    "CannotTell": (_SDK, "CannotTell"),
    "ChangedSince": (_SDK, "ChangedSince"),
    "Connector": (_SDK, "Connector"),
    "Enactor": ("enactor.wiring.facade", "Enactor"),
    "EnactorError": ("enactor.domain.errors", "EnactorError"),
    "ExecutionPolicy": ("enactor.domain.intent", "ExecutionPolicy"),
    "Found": (_SDK, "Found"),
    "Limits": ("enactor.service.core", "Limits"),
    "NotSent": (_SDK, "NotSent"),
    "ObjectRef": ("enactor.domain.outcome", "ObjectRef"),
    "PreviewResult": (_SDK, "PreviewResult"),
    "Principal": ("enactor.domain.principal", "Principal"),
    "Refused": (_SDK, "Refused"),
    "RiskClass": ("enactor.domain.action_type", "RiskClass"),
    "Role": ("enactor.domain.principal", "Role"),
    "Target": ("enactor.domain.intent", "Target"),
    "ToolCall": (_SDK, "ToolCall"),
    "ToolResult": (_SDK, "ToolResult"),
    "UndoArguments": (_SDK, "UndoArguments"),
    "WriteSemantics": ("enactor.domain.action_type", "WriteMode"),
    "agent": ("enactor.domain.principal", "agent"),
    "person": ("enactor.domain.principal", "person"),
    "tool": (_SDK, "tool"),
}

__version__ = "0.1.0"

__all__ = [
    "Absent",
    "ActionOutcome",
    "CannotTell",
    "ChangedSince",
    "Connector",
    "Enactor",
    "EnactorError",
    "ExecutionPolicy",
    "Found",
    "Limits",
    "NotSent",
    "ObjectRef",
    "PreviewResult",
    "Principal",
    "Refused",
    "RiskClass",
    "Role",
    "Target",
    "ToolCall",
    "ToolResult",
    "UndoArguments",
    "WriteSemantics",
    "agent",
    "person",
    "tool",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'enactor' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)

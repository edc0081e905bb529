"""Writing connectors: a class with tools, or a plain function made into one.

    class Tickets(Connector):
        name = "tickets"

        @tool(write=WriteSemantics.IDEMPOTENT, undo="close")
        async def create(self, args: CreateTicket, call: ToolCall) -> ToolResult: ...

A tool does one thing once. It never repeats a call by itself: it says how the call ended (`ToolResult`, `Refused`,
`NotSent`), and anything else it raises means that nobody knows.
"""

from __future__ import annotations

from enactor.connectors.sdk.calls import (
    Absent,
    CannotTell,
    Found,
    LookUpAnswer,
    PreviewResult,
    ToolCall,
    ToolResult,
    UndoArguments,
)
from enactor.connectors.sdk.connector import Connector, compensation_of
from enactor.connectors.sdk.functions import FUNCTION_CONNECTOR, FunctionConnector
from enactor.connectors.sdk.refusals import ChangedSince, NotSent, Refused
from enactor.connectors.sdk.tools import ToolOptions, ToolSpec, spec_of, tool

__all__ = [
    "FUNCTION_CONNECTOR",
    "Absent",
    "CannotTell",
    "ChangedSince",
    "Connector",
    "Found",
    "FunctionConnector",
    "LookUpAnswer",
    "NotSent",
    "PreviewResult",
    "Refused",
    "ToolCall",
    "ToolOptions",
    "ToolResult",
    "ToolSpec",
    "UndoArguments",
    "compensation_of",
    "spec_of",
    "tool",
]

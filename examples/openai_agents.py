"""An agent of the OpenAI Agents SDK that proposes through Enactor's `/mcp`, and learns that nothing was executed.

    make serve
    export ENACTOR_TOKEN=$(.venv/bin/enactor dev token --tenant acme --role proposer --subject planner --agent)
    .venv/bin/python examples/openai_agents.py

The model is scripted, so that the example needs no other service; leave `model=` out for one of OpenAI's.
"""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Model, ModelResponse, Runner, Usage, set_tracing_disabled
from agents.items import ToolCallOutputItem
from agents.mcp import MCPServerStreamableHttp
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText


class ScriptedModel(Model):
    """Proposes a note, asks what became of it, and repeats what it was told."""

    async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> ModelResponse:  # noqa: A002 - named by the SDK
        told = [said(item) for item in input if isinstance(item, dict) and item.get("type") == "function_call_output"]
        if not told:
            note = {"title": "Call Ms Weber back", "body": "She asked about the renewal."}
            reply = calling("propose_create_internal_note", {"account_id": "north", "parameters": note})
        elif len(told) == 1:
            found = re.search(r"ai_[0-9a-f-]+", told[0])
            reply = calling("get_execution_status", {"action_intent_id": found[0] if found else ""})
        else:
            text = ResponseOutputText(text=f"I proposed it. {told[-1]}", type="output_text", annotations=[])
            reply = ResponseOutputMessage(
                id="message", content=[text], role="assistant", status="completed", type="message"
            )
        return ModelResponse(output=[reply], usage=Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        raise NotImplementedError("This model does not stream.")


def calling(name: str, arguments: dict[str, Any]) -> Any:
    return ResponseFunctionToolCall(
        call_id=f"call-{name}", name=name, arguments=json.dumps(arguments), type="function_call"
    )


def said(item: Any) -> str:
    """The text of a tool's output, which is a string or a list of parts."""
    output = item["output"]
    parts = output if isinstance(output, list) else [output]
    return "\n".join(part.get("text", "") if isinstance(part, dict) else str(part) for part in parts)


async def main() -> None:
    set_tracing_disabled(True)
    url = os.environ.get("ENACTOR_URL", "http://127.0.0.1:8420")
    async with MCPServerStreamableHttp(
        params={"url": f"{url}/mcp", "headers": {"authorization": f"Bearer {os.environ['ENACTOR_TOKEN']}"}},
        name="enactor",
        client_session_timeout_seconds=30,
    ) as enactor:
        agent = Agent(
            name="planner",
            instructions="You propose actions. You never claim that one was executed before its status says so.",
            mcp_servers=[enactor],
            model=ScriptedModel(),
        )
        done = await Runner.run(agent, "Note that Ms Weber wants to be called back.")
        for item in done.new_items:
            if isinstance(item, ToolCallOutputItem):
                print(f"{item.raw_item['call_id'].removeprefix('call-')}: {said(item.raw_item)}")
        print(f"agent: {done.final_output}")


asyncio.run(main())

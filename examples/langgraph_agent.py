"""A LangGraph agent that proposes through Enactor's `/mcp`, and learns that nothing was executed.

    make serve
    export ENACTOR_TOKEN=$(.venv/bin/enactor dev token --tenant acme --role proposer --subject planner --agent)
    .venv/bin/python examples/langgraph_agent.py

The model is scripted, so that the example needs no other service; any chat model of LangChain takes its place.
"""

import asyncio
import os
import re
from typing import Any

import httpx2
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent, Tool


class ScriptedModel(BaseChatModel):
    """Proposes a note, asks what became of it, and repeats what it was told."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **_: Any) -> "ScriptedModel":
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        told = [message.text for message in messages if isinstance(message, ToolMessage)]
        if not told:
            note = {"title": "Call Ms Weber back", "body": "She asked about the renewal."}
            reply = calling("propose_create_internal_note", {"account_id": "north", "parameters": note})
        elif len(told) == 1:
            found = re.search(r"ai_[0-9a-f-]+", told[0])
            reply = calling("get_execution_status", {"action_intent_id": found[0] if found else ""})
        else:
            reply = AIMessage(f"I proposed it. {told[-1]}")
        return ChatResult(generations=[ChatGeneration(message=reply)])


def calling(name: str, arguments: dict[str, Any]) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{name}", "type": "tool_call"}])


def langchain_tool(client: Client, listed: Tool) -> BaseTool:
    """A tool of the MCP server as LangChain takes it."""

    async def call(**arguments: Any) -> str:
        result = await client.call_tool(listed.name, arguments)
        return "\n".join(block.text for block in result.content if isinstance(block, TextContent))

    return StructuredTool(
        name=listed.name, description=listed.description or "", args_schema=listed.input_schema, coroutine=call
    )


async def main() -> None:
    url = os.environ.get("ENACTOR_URL", "http://127.0.0.1:8420")
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {os.environ['ENACTOR_TOKEN']}"}) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
    ):
        tools = [langchain_tool(client, listed) for listed in (await client.list_tools()).tools]
        model = ScriptedModel().bind_tools(tools)

        async def think(state: MessagesState) -> dict[str, list[BaseMessage]]:
            return {"messages": [await model.ainvoke(state["messages"])]}

        graph = StateGraph(MessagesState)
        graph.add_node("think", think)
        graph.add_node("tools", ToolNode(tools))
        graph.add_edge(START, "think")
        graph.add_conditional_edges("think", tools_condition)
        graph.add_edge("tools", "think")
        asked = [HumanMessage("Note that Ms Weber wants to be called back.")]
        done = await graph.compile().ainvoke({"messages": asked})
        for message in done["messages"]:
            if isinstance(message, ToolMessage):
                print(f"{message.name}: {message.text}")
        print(f"agent: {done['messages'][-1].text}")


asyncio.run(main())

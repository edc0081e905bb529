"""The API function as API Gateway invokes it, asked by MCP's own client."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from deploy.aws.generator.edge import FOR_AGENTS
from deploy.aws.generator.template import template
from tests.aws.deployed import HOST, Deployed, http_event


class Gateway(httpx2.AsyncBaseTransport):
    """API Gateway: each request is an event of the API function, and its answer the response."""

    def __init__(self, deployed: Deployed) -> None:
        self._deployed = deployed
        self.statuses: list[int] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Has the function answer."""
        content = await request.aread()
        url = request.url.raw_path.decode()
        answer = await self._deployed.answer("api", http_event(request.method, url, request.headers, content))
        self.statuses.append(answer["statusCode"])
        return httpx2.Response(answer["statusCode"], headers=answer["headers"], content=answer["body"].encode())


async def test_agents_propose_through_the_function(deploy: Callable[..., Deployed]) -> None:
    """MCP's own client lists action types and proposes; nothing is executed, and each request stands for itself."""
    deployed = deploy()
    gateway = Gateway(deployed)
    headers = {"authorization": f"Bearer {deployed.token('proposer', subject='planner')}"}
    async with (
        httpx2.AsyncClient(transport=gateway, headers=headers) as http,
        Client(streamable_http_client(f"https://{HOST}/mcp", http_client=http), cache=None) as client,
    ):
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert {"propose_create_internal_note", "get_execution_status"} <= tools
        arguments = {"account_id": "acc-1", "parameters": {"title": "Call back"}}
        made = await client.call_tool("propose_create_internal_note", arguments)
    assert made.structured_content is not None
    assert made.structured_content["executed_by_this_call"] is False
    intent = made.structured_content["action_intent_id"]
    answer = await deployed.answer("api", asking(deployed, f"/v1/intents/{intent}"))
    assert json.loads(answer["body"])["status"] == "PENDING_APPROVAL"
    assert max(gateway.statuses) < 300


def asking(deployed: Deployed, path: str) -> dict[str, Any]:
    """A request of somebody who reads."""
    return http_event("GET", path, {"authorization": f"Bearer {deployed.token('approver')}"})


async def test_a_stranger_is_told_where_tokens_are(deploy: Callable[..., Deployed]) -> None:
    """The function refuses, and says so as RFC 9728 wants it, which API Gateway's authoriser does not; so these routes
    have none. `/gateway/mcp` is not there unless connectors are behind it.
    """
    deployed = deploy()
    stranger = http_event("POST", "/mcp", {"content-type": "application/json"}, b"{}")
    refused = await deployed.answer("api", stranger)
    assert refused["statusCode"] == 401
    challenge = refused["headers"]["www-authenticate"]
    where = f"https://{HOST}/.well-known/oauth-protected-resource/mcp"
    assert f'resource_metadata="{where}"' in challenge
    document = await deployed.answer("api", http_event("GET", "/.well-known/oauth-protected-resource/mcp"))
    assert json.loads(document["body"])["authorization_servers"] == ["https://login.example"]
    assert (await deployed.answer("api", http_event("GET", "/mcp")))["statusCode"] == 405
    assert (await deployed.answer("api", http_event("POST", "/gateway/mcp", {}, b"{}")))["statusCode"] == 404
    routes = {
        route["Properties"]["RouteKey"]: route["Properties"]["AuthorizationType"]
        for route in template()["Resources"].values()
        if route["Type"] == "AWS::ApiGatewayV2::Route"
    }
    assert [routes[route] for route in (*FOR_AGENTS, "GET /.well-known/{document+}")] == ["NONE"] * 3
    assert routes["$default"] == "JWT"

"""An MCP gateway as tool plane of the functions: a token by client credentials, names with their target's prefix, and a
long answer in the bucket, until it is erased.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from enactor.conformance.http_server import Asked, Given, HttpServer
from enactor.system import SystemClock
from tests.aws.deployed import TENANT, Deployed
from tests.engines.interpreter import Interpreter
from tests.gateway.servers import Tickets, data, serving, tool

SECRET = "s3cret-of-the-client"
ANSWER = "Grace Hopper wrote: " + "x" * 40_000


class Cognito:
    """A token endpoint that gives tokens for one client's credentials, and an MCP gateway that takes those alone."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.good: set[str] = set()
        self.strangers = 0
        self.tickets = Tickets(tools=[tool("crm___create"), tool("crm___find")], handlers={"crm___create": self.create})

    async def create(self, arguments: dict[str, Any]) -> Any:
        """Makes a ticket, with a long answer about it."""
        made = await self.tickets.do_create(arguments)
        return data(**(made.structured_content or {}), said=ANSWER)

    async def token(self, asked: Asked) -> Given:
        """RFC 6749, section 4.4."""
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        self.forms.append(form)
        if (form.get("client_id"), form.get("client_secret")) != ("enactor", SECRET):
            return Given(status=401, body=b'{"error":"invalid_client"}', headers={"content-type": "application/json"})
        token = f"token-{len(self.forms)}"
        self.good.add(f"Bearer {token}")
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": 600}
        return Given(headers={"content-type": "application/json"}, body=json.dumps(answer).encode())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[str, str]]:
        """Both; the addresses of the gateway and of the token endpoint."""
        manager = StreamableHTTPSessionManager(self.tickets.server(), stateless=True, json_response=True)

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            given = dict(scope["headers"]).get(b"authorization", b"").decode()
            if given not in self.good:
                self.strangers += 1
                await Response(status_code=401)(scope, receive, send)
                return
            await manager.handle_request(scope, receive, send)

        authority = HttpServer(self.token)
        async with authority, manager.run(), serving(Starlette(routes=[Mount("/mcp", app=guarded)])) as port:
            yield f"http://127.0.0.1:{port}/mcp/", f"{authority.url}/oauth2/token"


class Run:
    """What happens to intents of a deployment, asked without holding up the servers of the test."""

    def __init__(self, deployed: Deployed) -> None:
        self.deployed = deployed
        self.machine = Interpreter(SimpleNamespace(clock=SystemClock()), deployed.answer)  # type: ignore[arg-type]

    async def ask(self, *given: Any) -> tuple[int, Any]:
        """A request to the API."""
        return await asyncio.to_thread(self.deployed.ask, *given)

    async def executed(self, action_type: str, title: str) -> str:
        """An intent that was proposed, approved, and carried out by the functions; its id."""
        name = await asyncio.to_thread(self.deployed.approved, action_type, title=title)
        state = {"action_intent_id": name, "tenant_id": TENANT, "run_number": 1, "fence": 0}
        output = await self.machine.run(state)
        assert output["status"] == "SUCCEEDED", output
        return name

    def versions(self) -> dict[str, Any]:
        """What the bucket of artifacts holds."""
        found: dict[str, Any] = self.deployed.client("s3").list_object_versions(Bucket=self.deployed.bucket)
        return found


async def test_a_gateway_is_called_with_a_token_and_its_answers_can_be_erased(deploy: Callable[..., Deployed]) -> None:
    """The credentials' secret comes from Secrets Manager, the token from the token endpoint, and no stranger is let in;
    the tool has no prefix here and its own there. What was put aside goes with the intent, in every version.
    """
    cognito = Cognito()
    async with cognito.running() as (url, token_url):
        server = {
            "name": "crm",
            "url": url,
            "target": "crm",
            "artifact_bytes": 4096,
            "default": {"write": "IDEMPOTENT", "key_argument": "key", "risk": "LOW"},
            "oauth": {"token_url": token_url, "client_id": "enactor", "client_secret": "aws-sm:enactor#gateway"},
        }
        deployed = deploy({"gateway": SECRET}, McpServers=json.dumps([server]))
        run = Run(deployed)
        _, registry = await run.ask("GET", "/v1/action-types", deployed.token("approver"))
        (action_type,) = (it["action_type"] for it in registry["items"] if it["tool_name"] == "crm.create")
        names = [await run.executed(action_type, title) for title in ("Grace", "Ada")]
        assert [call.name for call in cognito.tickets.calls] == ["crm___create"] * 2
        assert sorted(cognito.tickets.made.values()) == ["T-1", "T-2"]
        assert {form["grant_type"] for form in cognito.forms} == {"client_credentials"}
        # One for each function that opened the connection, and none for every call.
        assert len(cognito.forms) <= 3
        assert cognito.strangers == 0
        assert len(run.versions()["Versions"]) == 2
        body = {"reference": "GDPR-17", "action_intent_ids": names[:1]}
        status, said = await run.ask("POST", "/v1/ledger/erasures", deployed.token("admin", subject="otto"), body)
        assert (status, said["erased"]) == (200, names[:1])
        left = run.versions()
        assert len(left["Versions"]) == 1
        assert "DeleteMarkers" not in left
        assert (await run.ask("GET", f"/v1/intents/{names[1]}", deployed.token("approver")))[0] == 200

from pathlib import Path
from typing import Any

import httpx
import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey

from enactor.http.app import create_app
from enactor.http.auth import Authenticator
from enactor.http.context import HttpSettings
from enactor.http.metrics import Metrics
from enactor.settings import IssuerSettings, McpSettings, Settings
from enactor.wiring.mcp import doors_of
from tests.http.world import world_of

ISSUER = "https://login.example"


async def test_a_token_is_good_at_one_face(key_file: Path) -> None:
    """With an audience of its own, `/mcp` takes no token of the API, and the API none of `/mcp`."""
    key = ECKey.generate_key("P-256", private=True, auto_kid=True)
    issuer = IssuerSettings(
        issuer=ISSUER,
        jwks={"keys": [key.as_dict(private=False)]},
        audiences=("api",),
        mcp_audiences=("agents",),
        client_ids=("planner",),
        tenants=("acme",),
    )
    settings = Settings(
        issuers=(issuer,), public_url="https://enactor.example/", mcp=McpSettings(gateway=True), dev_key_file=key_file
    )
    async with world_of(key_file) as world:
        authenticator = Authenticator(settings.issuers, world.clock)
        deps = msgspec.structs.replace(
            world.deps, authenticator=authenticator, settings=HttpSettings(), metrics=Metrics()
        )
        app = create_app(deps)
        doors = doors_of(settings, world.assembly.direct, deps)
        for door in doors:
            app.router.routes.extend(door.routes())
            await door.start()
        seconds = world.clock.now_ms() // 1000

        def token(**claims: Any) -> dict[str, str]:
            said = {
                "iss": ISSUER,
                "sub": "planner",
                "exp": seconds + 600,
                "roles": ["proposer"],
                "account_ids": ["*"],
                **claims,
            }
            header = {"alg": "ES256", "kid": key.kid}
            return {"authorization": f"Bearer {jwt.encode(header, said, key)}"}

        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:

            async def statuses(**claims: Any) -> tuple[bool, bool, bool]:
                headers = token(**claims)
                answers = [
                    await http.get("/v1/intents", headers=headers),
                    await http.post("/mcp", json={}, headers=headers),
                    await http.post("/gateway/mcp", json={}, headers=headers),
                ]
                api, agents, gateway = (answer.status_code != 401 for answer in answers)
                return api, agents, gateway

            assert await statuses(aud="api") == (True, False, False)
            assert await statuses(aud="agents") == (False, True, False)
            assert await statuses(aud="enactor-gateway") == (False, False, False)
            assert await statuses(client_id="planner") == (True, False, False)
            document = (await http.get("/.well-known/oauth-protected-resource/mcp")).json()
            refused = await http.post("/gateway/mcp", json={})
        for door in doors:
            await door.stop()
    assert document["resource"] == "https://enactor.example/mcp"
    assert document["authorization_servers"] == [ISSUER]
    assert "resource_metadata" not in refused.headers["www-authenticate"]

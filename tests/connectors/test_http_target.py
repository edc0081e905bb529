"""How connectors over HTTP prove who they are, and what they do when that is not believed."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from enactor.conformance.clocks import ManualClock
from enactor.conformance.http_server import Asked, Given, HttpServer, json_body
from enactor.connectors.http_access import AccessSettings
from enactor.connectors.http_call import Unclear
from enactor.connectors.http_target import HttpTarget
from enactor.connectors.sdk import NotSent, Refused, ToolCall
from enactor.domain.errors import ErrorClass
from tests.connectors.caldav.rig import call_of
from tests.connectors.rig import context_of

SECRETS = {"TOKEN": "t0ken", "KEY": "k3y", "PASSWORD": "pässword", "BROKEN": "a\nb", "CLIENT": "cl1ent"}


class Api:
    """An API that takes one token at a time, and a server that gives them out."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.given = 0
        self.good = "token-1"
        self.answer = Given(status=200, body=b"{}")

    async def handle(self, asked: Asked) -> Given:
        """Answers both faces."""
        if asked.path == "/token":
            self.given += 1
            body = json_body({"access_token": f"token-{self.given}", "token_type": "Bearer", "expires_in": 3600})
            return Given(status=200, body=body, headers={"content-type": "application/json"})
        self.asked.append(asked)
        if "oauth" in asked.path and asked.headers.get("authorization") != f"Bearer {self.good}":
            return Given(status=401)
        return self.answer


def target_of(url: str, access: dict[str, Any], clock: ManualClock | None = None) -> HttpTarget:
    """The server at a URL, reached so."""
    context = context_of(clock or ManualClock(), {}, SECRETS)
    return HttpTarget.reached_by("The target", url, AccessSettings.model_validate(access), (), context)


def oauth(url: str) -> dict[str, Any]:
    """Tokens of the API's own server."""
    return {"oauth": {"token_url": f"{url}/token", "client_id": "enactor", "client_secret": "env:CLIENT"}}


@pytest.mark.parametrize(
    ("access", "header", "value"),
    [
        ({"basic": {"user": "ana", "password": "env:PASSWORD"}}, "authorization", "Basic YW5hOnDDpHNzd29yZA=="),
        ({"bearer": "env:TOKEN"}, "authorization", "Bearer t0ken"),
        ({"api_key": {"header": "X-API-Key", "value": "env:KEY"}}, "x-api-key", "k3y"),
        ({}, "authorization", None),
    ],
)
async def test_each_way_in(access: dict[str, Any], header: str, value: str | None) -> None:
    """The header that proves it is on reads and writes, and on nothing else; no cookie is brought back."""
    api = Api()
    api.answer = Given(status=200, headers={"set-cookie": "session=1"})
    async with HttpServer(api.handle) as server:
        target = target_of(server.url, access)
        await target.read("GET", f"{server.url}/x", headers={})
        await target.write("POST", f"{server.url}/x", call_of(), headers={}, content=b"")
        await target.close()
    assert [asked.headers.get(header) for asked in api.asked] == [value, value]
    assert not any("cookie" in asked.headers for asked in api.asked)


@pytest.mark.parametrize("access", [{"bearer": "env:BROKEN"}, {"bearer": "env:NOT_THERE"}])
async def test_a_secret_that_cannot_be_used(access: dict[str, Any]) -> None:
    """Refused before anything is sent, and the value is not repeated."""
    api = Api()
    async with HttpServer(api.handle) as server:
        target = target_of(server.url, access)
        with pytest.raises(Refused) as refused:
            await target.write("POST", f"{server.url}/x", call_of(), headers={})
        await target.close()
    assert api.asked == []
    assert "a\nb" not in refused.value.message


async def test_a_token_that_is_not_taken_any_more() -> None:
    """A write is refused and sent once; the next one, under its own permit, has another token. A read asks again."""
    api = Api()
    async with HttpServer(api.handle) as server:
        target = target_of(server.url, oauth(server.url))
        await target.write("POST", f"{server.url}/oauth", call_of(), headers={})
        api.good = "token-2"
        with pytest.raises(Refused) as refused:
            await target.write("POST", f"{server.url}/oauth", call_of(), headers={})
        assert (refused.value.retryable, refused.value.error_class) == (True, ErrorClass.AUTH)
        assert (await target.write("POST", f"{server.url}/oauth", call_of(), headers={})).status == 200
        assert (len(api.asked), api.given) == (3, 2)
        api.good = "token-3"
        assert (await target.read("GET", f"{server.url}/oauth", headers={})).status == 200
        assert (len(api.asked), api.given) == (5, 3)
        await target.close()


async def test_tokens_that_are_never_taken() -> None:
    """The token that replaced a refused one is refused too: that does not pass, and asking stops."""
    api = Api()
    api.good = "none"
    async with HttpServer(api.handle) as server:
        target = target_of(server.url, oauth(server.url))
        ends = []
        for _ in range(2):
            with pytest.raises(Refused) as refused:
                await target.write("POST", f"{server.url}/oauth", call_of(), headers={})
            ends.append(refused.value.retryable)
        with pytest.raises(Refused):
            await target.read("GET", f"{server.url}/oauth", headers={})
        await target.close()
    assert ends == [True, False]
    assert "cl1ent" not in str(refused.value)


async def test_what_is_not_sent_and_what_may_have_been() -> None:
    """Too late, or a place that may not be called: nothing left. A broken answer to a write leaves it open."""
    api = Api()

    def late() -> None:
        raise NotSent("TOO_LATE_TO_SEND", "Too late.")

    async with HttpServer(api.handle) as server:
        target = target_of(server.url, {})
        tardy: ToolCall = replace(call_of(), ensure_timely=late)
        for call, url in (
            (tardy, server.url),
            (call_of(), "https://elsewhere.example/"),
            (call_of(), "http://10.0.0.1/"),
        ):
            with pytest.raises(NotSent):
                await target.write("POST", url, call, headers={})
        assert api.asked == []
        api.answer = Given(hang_up=True)
        with pytest.raises(Unclear):
            await target.write("POST", server.url, call_of(), headers={})
        with pytest.raises(NotSent):
            await target.read("GET", server.url, headers={})
        await target.close()

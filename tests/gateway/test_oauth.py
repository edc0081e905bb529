"""Access tokens: fetched once however many ask, kept while they are good, replaced once, and never shown."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.http_server import Asked, Given, HttpServer
from enactor.domain.errors import ConfigurationError
from enactor.gateway.egress import EgressRules, GuardedTransport
from enactor.gateway.oauth import OAuthRefused, OAuthUnavailable, TokenSource
from enactor.gateway.secrets import read_reference
from enactor.settings import OAuthSettings

SECRET = "s3cret/of+the=client"
REFRESH = "refresh-token-1"


class Authority:
    """An authorization server: counts what it gives, and answers as a test tells it."""

    def __init__(self) -> None:
        self.http = HttpServer(self.answer)
        self.asked: list[Asked] = []
        self.members: dict[str, Any] = {"expires_in": 600}
        self.instead: Given | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.came = asyncio.Event()

    async def answer(self, asked: Asked) -> Given:
        """A token whose number says how many were given."""
        self.asked.append(asked)
        self.came.set()
        await self.hold.wait()
        if self.instead is not None:
            return self.instead
        token = {"access_token": f"token-{len(self.asked)}", "token_type": "Bearer", **self.members}
        return Given(headers={"content-type": "application/json"}, body=json.dumps(token).encode())

    @property
    def form(self) -> dict[str, str]:
        """The last request's body."""
        return {name: values[0] for name, values in parse_qs(self.asked[-1].body.decode()).items()}


@pytest.fixture
def clock() -> ManualClock:
    """Time that the test moves."""
    return ManualClock()


@pytest.fixture
async def authority() -> AsyncIterator[Authority]:
    """A running authorization server."""
    made = Authority()
    async with made.http:
        yield made
        made.hold.set()


class Sources:
    """Makes token sources, and closes them."""

    def __init__(self, authority: Authority, clock: ManualClock) -> None:
        self.authority, self.clock = authority, clock
        self.environment = {"SECRET": SECRET, "REFRESH": REFRESH}
        self.made: list[TokenSource] = []

    def make(self, **changes: Any) -> TokenSource:
        """A source with the client's settings."""
        settings = OAuthSettings(
            **{
                "token_url": f"{self.authority.http.url}/token",
                "client_id": "enactor",
                "client_secret": "env:SECRET",
                **changes,
            }
        )
        transport = GuardedTransport(EgressRules(development=True), self.clock)
        source = TokenSource(
            settings,
            lambda ref, what: read_reference(ref, self.environment, what),
            transport,
            self.clock,
            "crm of acme",
        )
        self.made.append(source)
        return source


@pytest.fixture
async def sources(authority: Authority, clock: ManualClock) -> AsyncIterator[Sources]:
    """Token sources against the server."""
    made = Sources(authority, clock)
    yield made
    for source in made.made:
        await source.close()


async def test_client_credentials_in_the_body(authority: Authority, sources: Sources) -> None:
    """The client proves itself in the body, asks for its scopes, and what the server says of the token is kept."""
    authority.members |= {"instance_url": "https://acme.example", "refresh_token": "r", "issued": 5}
    token = await sources.make(scope="api id").token()
    assert authority.form == {
        "grant_type": "client_credentials",
        "scope": "api id",
        "client_id": "enactor",
        "client_secret": SECRET,
    }
    assert (token.value, token.about) == ("token-1", {"token_type": "Bearer", "instance_url": "https://acme.example"})


async def test_client_credentials_in_the_header(authority: Authority, sources: Sources) -> None:
    """With basic authentication the secret is in the header and not in the body; a public client sends its id alone."""
    await sources.make(authentication="client_secret_basic").token()
    kind, _, value = authority.asked[-1].headers["authorization"].partition(" ")
    assert (kind, base64.b64decode(value).decode()) == ("Basic", f"enactor:{SECRET}")
    assert authority.form == {"grant_type": "client_credentials"}
    await sources.make(authentication="none", client_secret=None).token()
    assert authority.form == {"grant_type": "client_credentials", "client_id": "enactor"}


@pytest.mark.parametrize(
    ("members", "good"),
    [
        ({"expires_in": 600}, 540),
        ({"expires_in": "600"}, 540),
        ({"expires_in": 60}, 54),
        ({}, 840),
        ({"expires_in": -1}, 840),
        ({"expires_in": "soon"}, 840),
        ({"expires_in": 1e300}, 840),
    ],
)
async def test_a_token_is_used_while_it_is_good(
    authority: Authority, sources: Sources, clock: ManualClock, members: dict[str, Any], good: int
) -> None:
    """It is asked for again a little before it ends, or after the configured time where the server does not say."""
    authority.members = members
    source = sources.make()
    assert (await source.token()).value == "token-1"
    clock.advance(good - 1)
    clock.jump(86_400)
    assert (await source.token()).value == "token-1"
    clock.advance(1)
    assert (await source.token()).value == "token-2"


async def test_however_many_ask_one_request_is_made(authority: Authority, sources: Sources) -> None:
    """Fifty callers share one request; one that gives up does not take it away from the others."""
    source = sources.make()
    authority.hold.clear()
    asking = [asyncio.create_task(source.token()) for _ in range(50)]
    await authority.came.wait()
    asking[0].cancel()
    await asyncio.gather(asking[0], return_exceptions=True)
    authority.hold.set()
    tokens = await asyncio.gather(*asking[1:])
    assert ({token.value for token in tokens}, len(authority.asked)) == ({"token-1"}, 1)


async def test_a_refused_token_is_replaced_once(authority: Authority, sources: Sources) -> None:
    """Many 401s about one token cost one new token; a 401 about an old one does not throw the new one away."""
    source = sources.make()
    first = await source.token()
    assert [source.refused(first) for _ in range(20)] == [True] * 20
    second, again = await asyncio.gather(source.token(), source.token())
    assert (second is again, second.value, len(authority.asked)) == (True, "token-2", 2)
    assert source.refused(first)
    assert (await source.token()) is second


async def test_a_replacement_that_is_refused_too_is_the_end(authority: Authority, sources: Sources) -> None:
    """One refresh, not many: unless the replacement was taken in the meantime, another one would be refused as well."""
    source = sources.make()
    source.refused(await source.token())
    second = await source.token()
    assert source.refused(second) is False
    third = await source.token()
    source.accepted(third)
    assert source.refused(third) is True


async def test_a_failure_is_not_kept(authority: Authority, sources: Sources) -> None:
    """What could not be had is asked for again by the next caller; all callers of the failed one are told."""
    source = sources.make()
    authority.instead = Given(status=503)
    authority.hold.clear()
    asking = [asyncio.create_task(source.token()) for _ in range(3)]
    await authority.came.wait()
    authority.hold.set()
    failed = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(error) for error in failed] == [OAuthUnavailable] * 3
    authority.instead = None
    assert (await source.token()).value == "token-2"


async def test_refresh_tokens(authority: Authority, sources: Sources, clock: ManualClock) -> None:
    """The refresh token is read where it is kept; one that the server rotates replaces it while the process lives."""
    source = sources.make(grant="refresh_token", refresh_token="env:REFRESH")
    await source.token()
    assert (authority.form["grant_type"], authority.form["refresh_token"]) == ("refresh_token", REFRESH)
    authority.members["refresh_token"] = "refresh-token-2"
    clock.advance(600)
    await source.token()
    assert authority.form["refresh_token"] == REFRESH
    clock.advance(600)
    await source.token()
    assert authority.form["refresh_token"] == "refresh-token-2"


def given(status: int, body: object) -> Given:
    """A JSON answer."""
    return Given(status=status, headers={"content-type": "application/json"}, body=json.dumps(body).encode())


TELLING = {"error": "invalid_client", "error_description": f"the secret {SECRET} is wrong"}
WRONG = [
    (given(401, TELLING), OAuthRefused, "invalid_client"),
    (given(400, {"error": "invalid_grant"}), OAuthRefused, "invalid_grant"),
    (given(200, {"error": "unauthorized_client"}), OAuthRefused, "unauthorized_client"),
    (given(400, {"error": f"{SECRET} <script>"}), OAuthRefused, "answers 400"),
    (given(200, {}), OAuthRefused, "no bearer token"),
    (given(200, {"access_token": "a b"}), OAuthRefused, "no bearer token"),
    (given(200, {"access_token": "a\r\nX-Evil: 1"}), OAuthRefused, "no bearer token"),
    (given(200, {"access_token": "t", "token_type": "mac"}), OAuthRefused, "no bearer token"),
    (given(200, ["t"]), OAuthRefused, "without a token"),
    (Given(body=b"<html>"), OAuthRefused, "without a token"),
    (Given(body=b"x" * 100_000), OAuthRefused, "without a token"),
    (Given(status=302, headers={"location": "https://elsewhere.example/"}), OAuthRefused, "answers 302"),
    (given(503, {}), OAuthUnavailable, "503"),
    (given(429, {}), OAuthUnavailable, "429"),
    (given(400, {"error": "temporarily_unavailable"}), OAuthUnavailable, "may pass"),
    (Given(hang_up=True), OAuthUnavailable, "cannot be reached"),
    (Given(body=b"{}" * 50, cut_after=3), OAuthUnavailable, "cannot be reached"),
]


@pytest.mark.parametrize(("instead", "error", "says"), WRONG)
async def test_what_goes_wrong_has_a_type_and_no_secret(
    authority: Authority, sources: Sources, instead: Given, error: type[Exception], says: str
) -> None:
    """Refusals and passing trouble are told apart, in a message without what the server or the client said."""
    authority.instead = instead
    with pytest.raises(error, match=says) as raised:
        await sources.make().token()
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert len(authority.asked) == 1


async def test_nothing_secret_is_printed_or_logged(
    authority: Authority, sources: Sources, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither `repr`, nor the most talkative log, nor an error says the token, the secret or the refresh token."""
    caplog.set_level(logging.DEBUG)
    for talkative in ("httpcore", "httpx"):
        caplog.set_level(logging.DEBUG, logger=talkative)
    source = sources.make(grant="refresh_token", refresh_token="env:REFRESH")
    token = await source.token()
    shown = f"{token!r}{token}{source!r}{caplog.text}"
    assert "/token" in caplog.text
    for secret in (token.value, SECRET, REFRESH):
        assert secret not in shown


async def test_secrets_that_are_not_there(sources: Sources) -> None:
    """A missing secret, and one that cannot be sent, are configuration errors without the value."""
    sources.environment.pop("SECRET")
    with pytest.raises(ConfigurationError, match=r"crm of acme, client secret: the variable SECRET is not set"):
        await sources.make().token()
    sources.environment["SECRET"] = "\N{SNOWMAN}-secret"
    with pytest.raises(ConfigurationError) as raised:
        await sources.make(authentication="client_secret_basic").token()
    assert "secret has characters" in raised.value.message
    assert "\N{SNOWMAN}" not in raised.value.message
    assert raised.value.__context__ is None or raised.value.__suppress_context__


async def test_without_authlib_it_says_what_to_install(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named when it is missing."""
    monkeypatch.setitem(sys.modules, "authlib.oauth2.auth", None)
    with pytest.raises(ConfigurationError, match=r"enactor\[oauth\]"):
        await sources.make().token()


async def test_an_endpoint_that_may_not_be_called_is_not(sources: Sources) -> None:
    """Egress rules hold for token endpoints too."""
    source = sources.make(token_url="https://169.254.169.254/token")
    with pytest.raises(Exception, match="private or special"):
        await source.token()

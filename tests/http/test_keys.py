"""Key sets that are fetched: rotation, revocation, and issuers that do not answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from enactor.conformance.clocks import ManualClock
from enactor.domain.errors import Unauthenticated, Unavailable
from enactor.http.auth import Authenticator
from enactor.http.keys import KEEP_MS, REFRESH_MS, RETRY_MS
from tests.http.issuers import Issuer, Signer, ec_key, sign

OLD = ec_key("old")
NEW = ec_key("new")


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands still."""
    return ManualClock()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """A running issuer that publishes the old key."""
    made = Issuer()
    made.publish(OLD)
    yield made
    made.close()


@asynccontextmanager
async def trusting(issuer: Issuer, clock: ManualClock, **settings: Any) -> AsyncIterator[Authenticator]:
    """An authenticator that fetches the issuer's keys."""
    made = Authenticator([issuer.settings(**settings)], clock)
    try:
        yield made
    finally:
        await made.close()


def token(issuer: Issuer, clock: ManualClock, key: Signer = OLD, kid: str | None = None, **claims: Any) -> str:
    """A token by one of the keys, good for a year."""
    claims = {"exp": clock.now_ms() // 1000 + 366 * 86_400, **claims}
    return sign({"alg": "ES256", "kid": kid or key.kid}, issuer.claims(clock.now_ms(), **claims), key)


async def settled(issuer: Issuer, fetches: int) -> None:
    """Returns when the issuer has been asked this often and its answer has been taken in."""
    for _ in range(fetches):
        await issuer.arrival()
    assert issuer.fetches <= fetches
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


async def test_keys_are_fetched_once(issuer: Issuer, clock: ManualClock) -> None:
    """Twenty tokens at once cause one fetch, and later ones none."""
    async with trusting(issuer, clock) as checked:
        tokens = [token(issuer, clock, sub=f"s{number}") for number in range(20)]
        sessions = await asyncio.gather(*(checked.authenticate(one) for one in tokens))
        assert [session.principal.sub for session in sessions] == [f"s{number}" for number in range(20)]
        await checked.authenticate(token(issuer, clock, sub="later"))
        assert issuer.fetches == 1


async def test_keys_are_found_by_discovery(issuer: Issuer, clock: ManualClock) -> None:
    """Without a jwks_uri it is taken from the discovery document, which must be the issuer's own."""
    async with trusting(issuer, clock, jwks_uri=None) as checked:
        await checked.authenticate(token(issuer, clock))
        assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]
    issuer.named = "https://elsewhere.example"
    async with trusting(issuer, clock, jwks_uri=None) as checked:
        with pytest.raises(Unavailable):
            await checked.authenticate(token(issuer, clock))


async def test_a_new_key_is_fetched_when_it_is_first_used(issuer: Issuer, clock: ManualClock) -> None:
    """A token under an unknown key id makes the keys be fetched again: rotation needs no restart."""
    async with trusting(issuer, clock) as checked:
        await checked.authenticate(token(issuer, clock))
        issuer.publish(OLD, NEW)
        clock.advance(RETRY_MS / 1000)
        session = await checked.authenticate(token(issuer, clock, NEW))
        assert session.principal.sub == "ana"
        assert issuer.fetches == 2


async def test_made_up_key_ids_cause_few_fetches(issuer: Issuer, clock: ManualClock) -> None:
    """However many tokens come with key ids that do not exist, there is one fetch in ten seconds."""
    async with trusting(issuer, clock) as checked:
        await checked.authenticate(token(issuer, clock))
        for step in range(30):
            with pytest.raises(Unauthenticated, match="signed"):
                await checked.authenticate(token(issuer, clock, NEW, kid=f"made-up-{step}"))
        assert issuer.fetches == 1
        clock.advance(RETRY_MS / 1000)
        for step in range(30):
            with pytest.raises(Unauthenticated, match="signed"):
                await checked.authenticate(token(issuer, clock, NEW, kid=f"made-up-{step}"))
        assert issuer.fetches == 2


async def test_a_revoked_key_is_good_for_five_minutes_at_most(issuer: Issuer, clock: ManualClock) -> None:
    """Remembered tokens are forgotten when the key set changes, which is looked at every five minutes."""
    async with trusting(issuer, clock) as checked:
        mine = token(issuer, clock)
        await checked.authenticate(mine)
        issuer.publish(NEW)
        clock.advance(REFRESH_MS / 1000 - 1)
        assert checked.known(mine)
        assert issuer.fetches == 1
        clock.advance(1)
        assert checked.known(mine), "the request that notices does not wait"
        await settled(issuer, 2)
        assert checked.known(mine) is None
        assert checked.cached == 0
        with pytest.raises(Unauthenticated, match="signed"):
            await checked.authenticate(mine)


async def test_an_unchanged_key_set_forgets_nothing(issuer: Issuer, clock: ManualClock) -> None:
    """A refresh that brings the same keys leaves the remembered tokens alone."""
    async with trusting(issuer, clock) as checked:
        mine = token(issuer, clock)
        await checked.authenticate(mine)
        clock.advance(REFRESH_MS / 1000)
        assert checked.known(mine)
        await settled(issuer, 2)
        assert checked.known(mine)


async def test_an_issuer_that_does_not_answer(issuer: Issuer, clock: ManualClock) -> None:
    """Without keys a token is 'try again', not 'wrong'; with keys they stay good for a day."""
    issuer.fails = True
    async with trusting(issuer, clock) as checked:
        with pytest.raises(Unavailable):
            await checked.authenticate(token(issuer, clock))
        issuer.fails = False
        with pytest.raises(Unavailable):
            await checked.authenticate(token(issuer, clock))
        clock.advance(RETRY_MS / 1000)
        await checked.authenticate(token(issuer, clock))
        issuer.fails = True
        clock.advance(KEEP_MS / 1000 - 1)
        await checked.authenticate(token(issuer, clock, sub="other"))
        clock.advance(RETRY_MS / 1000)
        with pytest.raises(Unavailable):
            await checked.authenticate(token(issuer, clock, sub="another"))


async def test_redirects_are_not_followed(issuer: Issuer, clock: ManualClock) -> None:
    """A key set that is somewhere else now is not fetched from there."""
    other = Issuer()
    other.publish(OLD)
    issuer.redirects = f"{other.url}/keys"
    try:
        async with trusting(issuer, clock) as checked:
            with pytest.raises(Unavailable):
                await checked.authenticate(token(issuer, clock))
        assert other.asked == []
    finally:
        other.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b"\xff",
        b"[" * 100_000,
        b'{"keys":[]}' + b" " * 600_000,
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    ],
)
async def test_what_is_no_key_set(issuer: Issuer, clock: ManualClock, body: bytes) -> None:
    """Something else in its place, too long or too deep, is as no answer."""
    issuer.body = body
    async with trusting(issuer, clock) as checked:
        with pytest.raises(Unavailable):
            await checked.authenticate(token(issuer, clock))


async def test_a_key_set_without_usable_keys_refuses(issuer: Issuer, clock: ManualClock) -> None:
    """A key set in which nothing can verify a signature is an answer: tokens are refused."""
    issuer.body = json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "old"}]}).encode()
    async with trusting(issuer, clock) as checked:
        with pytest.raises(Unauthenticated, match="signed"):
            await checked.authenticate(token(issuer, clock))


async def test_one_who_leaves_does_not_end_the_fetch(issuer: Issuer, clock: ManualClock) -> None:
    """A client that goes away while keys are fetched leaves the fetch to the others who wait for it."""
    issuer.gate.clear()
    async with trusting(issuer, clock) as checked:
        leaving = asyncio.create_task(checked.authenticate(token(issuer, clock, sub="leaving")))
        staying = asyncio.create_task(checked.authenticate(token(issuer, clock, sub="staying")))
        await issuer.arrival()
        leaving.cancel()
        issuer.gate.set()
        assert (await staying).principal.sub == "staying"
        assert leaving.cancelled()
        assert issuer.fetches == 1


async def test_closing_ends_a_fetch(issuer: Issuer, clock: ManualClock) -> None:
    """Closing while keys are fetched leaves no task behind."""
    issuer.gate.clear()
    async with trusting(issuer, clock) as checked:
        waiting = asyncio.create_task(checked.authenticate(token(issuer, clock)))
        await issuer.arrival()
    assert (await asyncio.gather(waiting, return_exceptions=True))[0] is not None
    issuer.gate.set()
    assert asyncio.all_tasks() == {asyncio.current_task()}

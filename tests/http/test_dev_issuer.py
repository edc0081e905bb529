"""The development issuer: its key file, its tokens, and the only place where they are good."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from enactor.conformance.clocks import ManualClock
from enactor.domain.errors import ConfigurationError, InvalidInput, Unauthenticated
from enactor.domain.principal import DEV_ISSUER, Role
from enactor.http.app import create_app
from enactor.http.auth import Authenticator
from enactor.http.context import HttpSettings
from enactor.http.dev_issuer import DevIssuer
from tests.http.issuers import ec_key
from tests.http.world import TENANT, World, problem, world_of

CLOCK = ManualClock()


def test_the_key_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    """The key file is made with its directories, for its owner alone, and read again afterwards."""
    path = tmp_path / "state" / "enactor" / "dev-issuer.json"
    first = DevIssuer.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert DevIssuer.load(path).public_key == first.public_key
    assert "d" not in first.public_key
    assert [file.name for file in path.parent.iterdir()] == ["dev-issuer.json"]


def test_many_at_once_make_one_key(tmp_path: Path) -> None:
    """Whoever loads a key that is being made elsewhere gets that one."""
    path = tmp_path / "dev-issuer.json"
    with ThreadPoolExecutor(max_workers=8) as pool:
        keys = list(pool.map(lambda _: DevIssuer.load(path).public_key, range(16)))
    assert all(key == keys[0] for key in keys)
    assert DevIssuer.load(path).public_key == keys[0]


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The message says what to run."""
    path = tmp_path / "dev-issuer.json"
    DevIssuer.load(path)
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        DevIssuer.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"nonsense",
        b"[]",
        json.dumps(ec_key().as_dict(private=False)).encode(),
        json.dumps(ec_key(curve="P-384").as_dict(private=True)).encode(),
    ],
)
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that holds something else, or only a public key, is not used and not overwritten."""
    path = tmp_path / "dev-issuer.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="holds no development key"):
        DevIssuer.load(path)
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """The message names the file and how to name another."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="ENACTOR_DEV_KEY_FILE"):
        DevIssuer.load(tmp_path / "file" / "dev-issuer.json")


@pytest.mark.parametrize(
    "change",
    [
        {"roles": ["root"]},
        {"tenant": "_tenant"},
        {"tenant": "a/b"},
        {"tenant": ""},
        {"tenant": "", "roles": ["platform_admin", "admin"]},
        {"roles": ["platform_admin"]},
        {"accounts": ["a/b"]},
        {"accounts": ["_system"]},
        {"subject": ""},
        {"subject": "a\nb"},
        {"lifetime_seconds": 0},
        {"lifetime_seconds": 400 * 86_400},
    ],
)
def test_what_no_token_can_say(tmp_path: Path, change: dict[str, Any]) -> None:
    """Unknown roles, reserved names and impossible lifetimes are refused when a token is asked for."""
    given: dict[str, Any] = {"tenant": TENANT, "roles": ["approver"], "subject": "ana", "clock": CLOCK, **change}
    with pytest.raises(InvalidInput):
        DevIssuer.load(tmp_path / "key.json").mint(**given)


async def test_people_and_programs_are_told_apart(tmp_path: Path) -> None:
    """A person's token fills a human quorum, an agent's does not; a platform administrator has no tenant."""
    issuer = DevIssuer.load(tmp_path / "key.json")
    checked = Authenticator([], CLOCK, dev_issuer=issuer)

    async def principal(**given: Any) -> Any:
        return (await checked.authenticate(issuer.mint(subject="x", clock=CLOCK, **given))).principal

    person = await principal(tenant=TENANT, roles=["approver"], accounts=["a"])
    assert (person.interactive, person.account_ids, str(person.ref)) == (True, ("a",), "dev:x")
    assert not (await principal(tenant=TENANT, roles=["approver"], agent=True)).interactive
    platform = await principal(tenant="", roles=["platform_admin"])
    assert (platform.tenant_id, platform.roles) == ("", {Role.PLATFORM_ADMIN})


async def test_another_key_is_another_issuer(tmp_path: Path) -> None:
    """A token of somebody else's development key is refused."""
    checked = Authenticator([], CLOCK, dev_issuer=DevIssuer.load(tmp_path / "mine.json"))
    forged = DevIssuer.load(tmp_path / "theirs.json").mint(tenant=TENANT, roles=["approver"], subject="x", clock=CLOCK)
    with pytest.raises(Unauthenticated):
        await checked.authenticate(forged)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])  # noqa: S104 - to be refused
async def test_dev_is_refused_off_loopback(world: World, host: str) -> None:
    """An application that would take development tokens from elsewhere is not made."""
    deps = msgspec.structs.replace(world.deps, settings=HttpSettings(dev=True, host=host))
    with pytest.raises(ConfigurationError, match="loopback"):
        create_app(deps)


async def test_the_development_issuer_needs_dev(world: World) -> None:
    """An application that knows the development issuer without --dev is not made."""
    with pytest.raises(ConfigurationError, match="--dev"):
        create_app(msgspec.structs.replace(world.deps, settings=HttpSettings(dev=False)))


async def test_without_dev_its_tokens_are_nobodys(world: World) -> None:
    """A server without --dev refuses the very tokens that one with it takes."""
    deps = msgspec.structs.replace(
        world.deps,
        authenticator=Authenticator([], world.clock),
        settings=HttpSettings(dev=False),
        metrics=type(world.metrics)(),
    )
    transport = httpx.ASGITransport(create_app(deps))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        response = await client.get("/v1/me", headers={"authorization": f"Bearer {world.ana.token}"})
    problem(response, 401, "UNAUTHENTICATED")


@pytest.mark.parametrize("client", [("10.0.0.7", 1), ("::ffff:10.0.0.7", 1)])
async def test_its_tokens_are_good_on_this_machine_only(world: World, client: tuple[str, int]) -> None:
    """Even under --dev a development token that comes from another machine is refused."""
    transport = httpx.ASGITransport(world.app, client=client)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as caller:
        response = await caller.get("/v1/me", headers={"authorization": f"Bearer {world.ana.token}"})
    problem(response, 401, "UNAUTHENTICATED")


async def test_whom_it_vouches_for_is_marked_in_the_ledger(key_file: Path) -> None:
    """Every actor of the development issuer carries `dev:` in the ledger."""
    async with world_of(key_file) as world:
        await world.approved()
        entries = (await world.caller("audrey", "auditor").get("/v1/ledger")).json()["items"]
        people = {entry["actor"] for entry in entries} - {"enactor", "policy"}
        assert people == {"dev:planner", "dev:ana"}
        assert DEV_ISSUER == "enactor-dev"

"""Tokens: which are believed, and what they say about who asks."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc.jwk import OKPKey, RSAKey

from enactor.conformance.clocks import ManualClock
from enactor.domain.errors import Unauthenticated
from enactor.domain.principal import PrincipalRef, Role
from enactor.http.auth import Authenticator, bearer_token
from enactor.http.keys import usable_keys
from tests.http.issuers import Issuer, ec_key, sign, sign_with_secret

EC = ec_key()
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed-1"})


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands still."""
    return ManualClock()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """A running issuer that publishes three keys."""
    made = Issuer()
    made.publish(EC, RSA, ED)
    yield made
    made.close()


def authenticator(issuer: Issuer, clock: ManualClock, **settings: Any) -> Authenticator:
    """One that has the issuer's keys in its settings."""
    return Authenticator([issuer.settings(jwks={"keys": issuer.keys}, jwks_uri=None, **settings)], clock)


def token(issuer: Issuer, clock: ManualClock, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token signed with the EC key."""
    return sign(header or {"alg": "ES256", "kid": "ec-1"}, issuer.claims(clock.now_ms(), **claims), EC)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("ES256", EC), ("RS256", RSA), ("PS256", RSA), ("EdDSA", ED), ("Ed25519", ED)],
)
@pytest.mark.parametrize("with_kid", [True, False])
async def test_asymmetric_signatures_are_believed(
    issuer: Issuer, clock: ManualClock, algorithm: str, key: Any, with_kid: bool
) -> None:
    """RS256, PS256, ES256 and EdDSA under either of its names verify, with a key id and without one."""
    header = {"alg": algorithm, **({"kid": key.kid} if with_kid else {})}
    signed = sign(header, issuer.claims(clock.now_ms()), key)
    session = await authenticator(issuer, clock).authenticate(signed)
    principal = session.principal
    assert (principal.iss, principal.sub, principal.tenant_id) == (issuer.url, "ana", "acme")
    assert (principal.roles, principal.account_ids) == (frozenset({Role.APPROVER}), ("*",))
    assert principal.interactive
    assert not session.development


def _unsigned(claims: dict[str, Any], algorithm: str) -> str:
    parts = (json.dumps(part).encode() for part in ({"alg": algorithm, "typ": "JWT"}, claims))
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts).decode() + "."


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "ES256"])
async def test_a_token_without_a_signature_is_refused(issuer: Issuer, clock: ManualClock, algorithm: str) -> None:
    """`alg: none` in any spelling, and an empty signature, are refused."""
    with pytest.raises(Unauthenticated):
        await authenticator(issuer, clock).authenticate(_unsigned(issuer.claims(clock.now_ms()), algorithm))


@pytest.mark.parametrize("kid", ["rsa-1", "ec-1", None])
async def test_a_public_key_is_no_shared_secret(issuer: Issuer, clock: ManualClock, kid: str | None) -> None:
    """HS256 over an issuer's public key, in any of its forms, is refused: a public key verifies no HMAC."""
    secrets = [
        RSA.as_pem(private=False),
        RSA.as_der(private=False),
        EC.as_pem(private=False),
        json.dumps(RSA.as_dict(private=False)).encode(),
    ]
    for secret in secrets:
        header = {"alg": "HS256", **({"kid": kid} if kid else {})}
        forged = sign_with_secret(header, issuer.claims(clock.now_ms()), secret)
        with pytest.raises(Unauthenticated, match="algorithm"):
            await authenticator(issuer, clock).authenticate(forged)


async def test_only_allowed_algorithms_count(issuer: Issuer, clock: ManualClock) -> None:
    """An algorithm that the issuer's settings leave out is refused, though the key would verify it."""
    strict = authenticator(issuer, clock, algorithms=["RS256"])
    with pytest.raises(Unauthenticated, match="algorithm"):
        await strict.authenticate(token(issuer, clock))
    with pytest.raises(Unauthenticated, match="algorithm"):
        await strict.authenticate(sign({"alg": "PS256", "kid": "rsa-1"}, issuer.claims(clock.now_ms()), RSA))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "ES256", "kid": 7},
        {"alg": "ES256", "kid": "another"},
        {"alg": "ES256", "kid": "rsa-1"},
        {"alg": "ES256", "kid": "ec-1", "typ": "logout+jwt"},
        {"alg": "ES256", "kid": "ec-1", "typ": "dpop+jwt"},
        {"alg": "ES256", "kid": "ec-1", "crit": ["exp"], "exp": 1},
        {"alg": "ES256", "kid": "ec-1", "b64": True, "crit": ["b64"]},
    ],
)
async def test_headers_that_do_not_fit(issuer: Issuer, clock: ManualClock, header: dict[str, Any]) -> None:
    """A key id of another key, a type that is no access token's, and critical extensions are refused."""
    claims = json.dumps(issuer.claims(clock.now_ms())).encode()
    encoded = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (json.dumps(header).encode(), claims))
    plain = sign({"alg": "ES256"}, claims, EC)
    forged = f"{encoded.decode()}.{plain.rpartition('.')[2]}"
    for asked in (forged, *([] if "crit" in header or header["kid"] == 7 else [sign(header, claims, EC)])):
        with pytest.raises(Unauthenticated):
            await authenticator(issuer, clock).authenticate(asked)


async def test_a_key_in_the_token_is_not_believed(issuer: Issuer, clock: ManualClock) -> None:
    """A token brings no key of its own: `jwk` and `jku` in its header are ignored."""
    own = ec_key("ec-1")
    header = {
        "alg": "ES256",
        "kid": "ec-1",
        "jwk": own.as_dict(private=False),
        "jku": f"{issuer.url}/keys",
    }
    with pytest.raises(Unauthenticated, match="signed"):
        await authenticator(issuer, clock).authenticate(sign(header, issuer.claims(clock.now_ms()), own))
    assert issuer.asked == []


async def test_a_changed_token_is_refused(issuer: Issuer, clock: ManualClock) -> None:
    """A changed claim under the old signature is refused; nothing of the token is in the message."""
    head, _, signature = token(issuer, clock).split(".")
    claims = json.dumps(issuer.claims(clock.now_ms(), roles=["admin"])).encode()
    forged = f"{head}.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.{signature}"
    with pytest.raises(Unauthenticated) as refused:
        await authenticator(issuer, clock).authenticate(forged)
    assert signature not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["", "x", "a.b", "a.b.c", "..", "a.b.c.d", "é.b.c", "e30.e30.", "bnVsbA.bnVsbA.", "x" * 20_000, "e30.bnVsbA.AA"],
)
async def test_what_is_no_token(issuer: Issuer, clock: ManualClock, text: str) -> None:
    """Anything that is not a signed JWT is refused, and never an error of ours."""
    with pytest.raises(Unauthenticated):
        await authenticator(issuer, clock).authenticate(text)


async def test_a_token_is_good_for_its_time_only(issuer: Issuer, clock: ManualClock) -> None:
    """exp, nbf and iat hold with half a minute of leeway for the clocks; a token without an end is refused."""
    now = clock.now_ms() // 1000
    good: list[dict[str, Any]] = [
        {"exp": now - 29},
        {"exp": now + 0.5},
        {"nbf": now + 29},
        {"iat": now + 29},
        {"iat": None},
    ]
    bad: list[dict[str, Any]] = [
        {"exp": now - 31},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": -1},
        {"exp": 1e300},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"nbf": now + 31},
        {"iat": now + 31},
        {"nbf": "x"},
        {"iat": []},
    ]
    checked = authenticator(issuer, clock)
    for change in good:
        await checked.authenticate(token(issuer, clock, **change))
    for change in bad:
        with pytest.raises(Unauthenticated):
            await checked.authenticate(token(issuer, clock, **change))


async def test_a_token_is_meant_for_us(issuer: Issuer, clock: ManualClock) -> None:
    """The audience is ours, or where an issuer sets none the client is one of those it lists."""
    checked = authenticator(issuer, clock)
    await checked.authenticate(token(issuer, clock, aud=["other", "enactor-api"]))
    for audience in ("other", [], None, 7, ["enactor-api-2"], {"enactor-api": 1}, [None]):
        with pytest.raises(Unauthenticated, match="audience"):
            await checked.authenticate(token(issuer, clock, aud=audience))
    clients = authenticator(issuer, clock, audiences=[], client_ids=["web-app"])
    await clients.authenticate(token(issuer, clock, aud=None))
    await clients.authenticate(token(issuer, clock, aud=None, azp=None, client_id="web-app"))
    for change in ({"azp": "other"}, {"azp": None}, {"azp": ["web-app"]}):
        with pytest.raises(Unauthenticated, match="audience"):
            await clients.authenticate(token(issuer, clock, aud=None, **change))
    both = authenticator(issuer, clock, client_ids=["web-app"])
    await both.authenticate(token(issuer, clock, aud=None))
    with pytest.raises(Unauthenticated, match="audience"):
        await both.authenticate(token(issuer, clock, aud="other"))


async def test_the_issuer_is_one_of_ours(issuer: Issuer, clock: ManualClock) -> None:
    """Another issuer's token is refused, and one issuer does not sign for another."""
    other = Issuer()
    other.publish(EC)
    try:
        strange = sign({"alg": "ES256", "kid": "ec-1"}, other.claims(clock.now_ms()), EC)
        with pytest.raises(Unauthenticated, match="issuer"):
            await authenticator(issuer, clock).authenticate(strange)
        with pytest.raises(Unauthenticated, match="issuer"):
            await authenticator(issuer, clock).authenticate(token(issuer, clock, iss=None))
        mine = ec_key("mine")
        two = Authenticator(
            [
                issuer.settings(jwks={"keys": issuer.keys}, jwks_uri=None),
                other.settings(jwks={"keys": [dict(mine.as_dict(private=False))]}, jwks_uri=None),
            ],
            clock,
        )
        with pytest.raises(Unauthenticated, match="signed"):
            await two.authenticate(sign({"alg": "ES256", "kid": "mine"}, issuer.claims(clock.now_ms()), mine))
    finally:
        other.close()


async def test_a_tenant_is_one_the_issuer_vouches_for(issuer: Issuer, clock: ManualClock) -> None:
    """The tenant is in the token and in the issuer's list, and is no reserved or impossible name."""
    checked = authenticator(issuer, clock)
    assert (await checked.authenticate(token(issuer, clock, tenant_id="globex"))).principal.tenant_id == "globex"
    for tenant in ("initech", "", None, 7, ["acme"], "_tenant", "a/b", "x" * 65, "acme "):
        with pytest.raises(Unauthenticated, match="tenant"):
            await checked.authenticate(token(issuer, clock, tenant_id=tenant))
    one = authenticator(issuer, clock, tenants=["acme"])
    assert (await one.authenticate(token(issuer, clock, tenant_id=None))).principal.tenant_id == "acme"
    with pytest.raises(Unauthenticated, match="tenant"):
        await authenticator(issuer, clock, tenants=["_system"]).authenticate(token(issuer, clock, tenant_id="_system"))


async def test_accounts_are_those_of_the_token(issuer: Issuer, clock: ManualClock) -> None:
    """Missing accounts mean none, `*` means all, and what can be no account's id is refused."""
    checked = authenticator(issuer, clock)
    for given, kept in (
        (None, ()),
        ([], ()),
        (["*"], ("*",)),
        (["a", "*"], ("*",)),
        (["acc-1", "acc.2", "acc-1"], ("acc-1", "acc.2")),
        ("acc-1", ("acc-1",)),
    ):
        assert (await checked.authenticate(token(issuer, clock, account_ids=given))).principal.account_ids == kept
    for given in (["_tenant"], ["_system"], ["a/b"], [7], {"a": 1}, ["x" * 65], [""], [f"a{n}" for n in range(1_001)]):
        with pytest.raises(Unauthenticated, match="account"):
            await checked.authenticate(token(issuer, clock, account_ids=given))


async def test_roles_are_those_we_know(issuer: Issuer, clock: ManualClock) -> None:
    """Roles come as a list or as words; others' roles are ignored; none is none."""
    checked = authenticator(issuer, clock)
    for given, kept in (
        (["approver", "operator"], {Role.APPROVER, Role.OPERATOR}),
        ("approver operator", {Role.APPROVER, Role.OPERATOR}),
        (["Approver", "root", 7, None], set()),
        (None, set()),
        (7, set()),
    ):
        assert (await checked.authenticate(token(issuer, clock, roles=given))).principal.roles == kept


async def test_platform_administrators_have_no_tenant(issuer: Issuer, clock: ManualClock) -> None:
    """platform_admin counts only without a tenant and from an issuer that may vouch for it, and alone."""
    roles = ["platform_admin", "admin"]
    trusted = authenticator(issuer, clock, platform=True)
    principal = (await trusted.authenticate(token(issuer, clock, roles=roles, tenant_id=None))).principal
    assert (principal.tenant_id, principal.roles) == ("", {Role.PLATFORM_ADMIN})
    assert principal.account_ids == ()
    principal = (await trusted.authenticate(token(issuer, clock, roles=roles))).principal
    assert (principal.tenant_id, principal.roles) == ("acme", {Role.ADMIN})
    with pytest.raises(Unauthenticated, match="tenant"):
        await authenticator(issuer, clock).authenticate(token(issuer, clock, roles=roles, tenant_id=None))


async def test_claims_have_the_names_of_the_settings(issuer: Issuer, clock: ManualClock) -> None:
    """Claim names map, as they are or as a path into objects, and no other claim stands in for them."""
    names = {"tenant": "https://acme.example/tenant", "accounts": "scope.accounts", "roles": "realm_access.roles"}
    checked = authenticator(issuer, clock, claims=names)
    claims = {
        "https://acme.example/tenant": "globex",
        "scope": {"accounts": ["a"]},
        "realm_access": {"roles": ["auditor"]},
    }
    principal = (await checked.authenticate(token(issuer, clock, **claims))).principal
    assert (principal.tenant_id, principal.account_ids, principal.roles) == ("globex", ("a",), {Role.AUDITOR})
    with pytest.raises(Unauthenticated, match="tenant"):
        await checked.authenticate(token(issuer, clock))


async def test_the_act_chain_is_known(issuer: Issuer, clock: ManualClock) -> None:
    """Whoever acts is known, innermost first; one that cannot be told apart makes the token worthless."""
    checked = authenticator(issuer, clock)
    act = {"sub": "outer", "act": {"sub": "middle", "iss": "https://elsewhere.example", "act": {"sub": "inner"}}}
    principal = (await checked.authenticate(token(issuer, clock, act=act))).principal
    assert principal.actors == (
        PrincipalRef(issuer.url, "inner"),
        PrincipalRef("https://elsewhere.example", "middle"),
        PrincipalRef(issuer.url, "outer"),
    )
    assert not principal.interactive
    deep: dict[str, Any] = {"sub": "x"}
    for _ in range(10):
        deep = {"sub": "x", "act": deep}
    for wrong in ({}, {"sub": ""}, {"sub": 7}, "planner", [], {"sub": "x", "iss": 7}, {"sub": "x", "act": {}}, deep):
        with pytest.raises(Unauthenticated, match="act chain"):
            await checked.authenticate(token(issuer, clock, act=wrong))


@pytest.mark.parametrize(
    ("change", "interactive"),
    [
        ({}, True),
        ({"amr": None}, False),
        ({"amr": []}, False),
        ({"amr": [""]}, False),
        ({"amr": "pwd"}, False),
        ({"azp": "planner-client"}, False),
        ({"client_id": "planner-client"}, False),
        ({"act": {"sub": "bot"}}, False),
    ],
)
async def test_who_counts_as_a_person(
    issuer: Issuer, clock: ManualClock, change: dict[str, Any], interactive: bool
) -> None:
    """A person logged in by some method, through no agent's client, with nobody acting in between."""
    session = await authenticator(issuer, clock).authenticate(token(issuer, clock, **change))
    assert session.principal.interactive is interactive


async def test_a_subject_is_needed(issuer: Issuer, clock: ManualClock) -> None:
    """A token about nobody, or about a name that cannot be shown, is refused."""
    for subject in (None, "", 7, "a\nb", "\u202ex", "x" * 256):
        with pytest.raises(Unauthenticated, match="subject"):
            await authenticator(issuer, clock).authenticate(token(issuer, clock, sub=subject))


async def test_verified_tokens_are_remembered_until_they_expire(issuer: Issuer, clock: ManualClock) -> None:
    """A remembered token answers as before, and no longer than it is good."""
    checked = authenticator(issuer, clock)
    mine = token(issuer, clock)
    assert checked.known(mine) is None
    session = await checked.authenticate(mine)
    assert checked.known(mine) is session
    assert await checked.authenticate(mine) is session
    clock.advance(600 + 29)
    assert checked.known(mine) is session
    clock.advance(1)
    assert checked.known(mine) is None
    with pytest.raises(Unauthenticated, match="expired"):
        await checked.authenticate(mine)
    assert checked.cached == 0


async def test_the_memory_of_tokens_is_bounded(issuer: Issuer, clock: ManualClock) -> None:
    """Beyond its bound the token used longest ago is forgotten; refused ones are never kept."""
    settings = issuer.settings(jwks={"keys": issuer.keys}, jwks_uri=None)
    checked = Authenticator([settings], clock, cached_tokens=3)
    tokens = [token(issuer, clock, sub=f"s{number}") for number in range(4)]
    for one in tokens[:3]:
        await checked.authenticate(one)
    assert checked.known(tokens[0])
    await checked.authenticate(tokens[3])
    assert checked.cached == 3
    assert [bool(checked.known(one)) for one in tokens] == [True, False, True, True]
    for number in range(5):
        with pytest.raises(Unauthenticated):
            await checked.authenticate(f"a.b.{number}")
    assert checked.cached == 3


def test_keys_that_cannot_be_used() -> None:
    """Symmetric, encryption, short and broken keys are left out of a key set, and the rest is used."""
    public = dict(EC.as_dict(private=False))
    weak = {**dict(RSA.as_dict(private=False)), "n": str(RSA.as_dict(private=False)["n"])[:172]}
    documents: list[Any] = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
        {**public, "use": "enc"},
        {**public, "x": "AAAA"},
        {"kty": "EC"},
        {"kty": "AKP", "pub": "x"},
        weak,
        "nonsense",
        None,
        public,
    ]
    assert [key.get("kid") for key in usable_keys(documents)] == ["ec-1"]
    assert usable_keys([dict(EC.as_dict(private=True))])[0].is_private is False


@pytest.mark.parametrize(
    "values", [[], [""], ["Basic YTpi"], ["Bearer"], ["Bearer "], ["Bearer a", "Bearer b"], ["token"], ["bearerx y"]]
)
def test_there_is_exactly_one_bearer_token(values: list[str]) -> None:
    """No Authorization header, another scheme, no token, or two of them are refused."""
    with pytest.raises(Unauthenticated):
        bearer_token(values)


def test_the_scheme_has_any_case() -> None:
    """`bearer` is a scheme's name, and those have no case (RFC 9110, section 11.1)."""
    assert bearer_token(["bEARER abc"]) == "abc"

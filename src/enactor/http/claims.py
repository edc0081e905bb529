"""From a token's claims to a principal (specification, section 9): tenant, accounts, roles and who stands behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from enactor.domain import ids
from enactor.domain.errors import Unauthenticated
from enactor.domain.principal import ALL_ACCOUNTS, Principal, PrincipalRef, Role
from enactor.settings import ClaimNames, IssuerSettings

LEEWAY_MS: Final = 30_000
"""How far the issuer's clock and ours may differ, for `exp`, `nbf` and `iat`."""

_MAX_ACCOUNTS: Final = 1_000
_MAX_ACTORS: Final = 10
_MAX_SUBJECT: Final = 255
_MAX_SECONDS: Final = 2**40
_ROLES: Final = frozenset(role.value for role in Role)


class Trust(Struct, frozen=True, kw_only=True):
    """What an issuer is trusted with.

    Attributes:
        tenants: the tenants it may vouch for; None means any.
        platform: whether it may vouch for platform administrators.
        agent_clients: OAuth clients through which nobody counts as a person.
    """

    issuer: str
    audiences: frozenset[str]
    client_ids: frozenset[str]
    tenants: frozenset[str] | None
    platform: bool
    claims: ClaimNames
    agent_clients: frozenset[str]


def trust_of(settings: IssuerSettings) -> Trust:
    """What the settings trust an issuer with."""
    return Trust(
        issuer=settings.issuer,
        audiences=frozenset(settings.audiences),
        client_ids=frozenset(settings.client_ids),
        tenants=frozenset(settings.tenants),
        platform=settings.platform,
        claims=settings.claims,
        agent_clients=frozenset(settings.agent_clients),
    )


def is_name(text: object) -> bool:
    """Whether `text` can be a tenant's or an account's id. One that begins with `_` names a chain of the ledger."""
    return isinstance(text, str) and ids.is_name(text)


def require_times(claims: Mapping[str, Any], now_ms: int) -> int:
    """Checks `exp`, `nbf` and `iat` (RFC 7519, section 4.1).

    Returns:
        When the token stops being accepted, milliseconds since the epoch, leeway included.

    Raises:
        Unauthenticated: it has expired, is not valid yet, or does not say when it expires.
    """
    ends = _instant(claims, "exp")
    if ends is None:
        raise Unauthenticated("The token does not say when it expires; tokens without an end are not accepted.")
    if now_ms >= ends + LEEWAY_MS:
        raise Unauthenticated("The token has expired; get a new one.")
    for name in ("nbf", "iat"):
        begins = _instant(claims, name)
        if begins is not None and now_ms < begins - LEEWAY_MS:
            raise Unauthenticated("The token is not valid yet; compare the clocks of its issuer and of this server.")
    return ends + LEEWAY_MS


def _instant(claims: Mapping[str, Any], name: str) -> int | None:
    """A NumericDate in milliseconds, or None when it is absent."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Unauthenticated(f"The token's {name} is not a number of seconds.")
    if not 0 <= value < _MAX_SECONDS:
        raise Unauthenticated(f"The token's {name} is out of range.")
    return round(value * 1000)


def principal_of(claims: Mapping[str, Any], trust: Trust) -> Principal:
    """Who the token is about.

    A principal is interactive, and so may fill a human quorum, when nobody acts in between (no `act`), its client
    (`azp`, `client_id`) is not one of the issuer's agent clients, and the token says by which methods a person proved
    to be there (`amr`, RFC 8176). Only the first two can be known from the settings: an issuer must not put `amr` into
    tokens of machines.

    Raises:
        Unauthenticated: the token is not meant for this API, or says something about tenant, accounts or actors that
            cannot be so.
    """
    clients = _clients(claims)
    _require_audience(claims, trust, clients)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= _MAX_SUBJECT or not subject.isprintable():
        raise Unauthenticated("The token names no subject.")
    roles = _roles(_claim(claims, trust.claims.roles))
    tenant_id, roles = _tenant(_claim(claims, trust.claims.tenant), roles, trust)
    actors = _actors(claims.get("act"), trust.issuer)
    methods = claims.get("amr")
    present = isinstance(methods, list) and any(isinstance(method, str) and method for method in methods)
    return Principal(
        iss=trust.issuer,
        sub=subject,
        tenant_id=tenant_id,
        account_ids=_accounts(_claim(claims, trust.claims.accounts)) if tenant_id else (),
        roles=roles,
        actors=actors,
        interactive=present and "act" not in claims and not clients & trust.agent_clients,
        client_id=str(claims.get("azp") or claims.get("client_id") or ""),
    )


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name as it is, else by its dotted path into nested objects."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _clients(claims: Mapping[str, Any]) -> frozenset[str]:
    named = (claims.get("azp"), claims.get("client_id"))
    return frozenset(client for client in named if isinstance(client, str) and client)


def _require_audience(claims: Mapping[str, Any], trust: Trust, clients: frozenset[str]) -> None:
    audience = claims.get("aud")
    if trust.audiences and audience is not None:
        named = audience if isinstance(audience, list) else [audience]
        meant = any(isinstance(name, str) and name in trust.audiences for name in named)
    else:
        meant = bool(clients & trust.client_ids)
    if not meant:
        raise Unauthenticated("The token is meant for another audience.")


def _roles(value: Any) -> frozenset[Role]:
    """The roles we know; the claim may hold other programs' roles too."""
    named = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset(Role(name) for name in named if isinstance(name, str) and name in _ROLES)


def _tenant(value: Any, roles: frozenset[Role], trust: Trust) -> tuple[str, frozenset[Role]]:
    """The tenant and the roles that count there: a platform administrator has no tenant, and nobody else has none."""
    if value is None or value == "":
        if trust.platform and Role.PLATFORM_ADMIN in roles:
            return "", frozenset({Role.PLATFORM_ADMIN})
        if trust.tenants is None or len(trust.tenants) != 1:
            raise Unauthenticated("The token names no tenant.")
        (value,) = trust.tenants
    if not is_name(value):
        raise Unauthenticated("The token's tenant is not a tenant's id.")
    if trust.tenants is not None and value not in trust.tenants:
        raise Unauthenticated("The token's issuer does not vouch for this tenant here.")
    return str(value), roles - {Role.PLATFORM_ADMIN}


def _accounts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    named = [value] if isinstance(value, str) else value
    if not isinstance(named, list) or len(named) > _MAX_ACCOUNTS:
        raise Unauthenticated(f"The token's accounts are not a list of at most {_MAX_ACCOUNTS} account ids.")
    if ALL_ACCOUNTS in named:
        return (ALL_ACCOUNTS,)
    if not all(is_name(name) for name in named):
        raise Unauthenticated("The token's accounts are not all account ids.")
    return tuple(dict.fromkeys(named))


def _actors(value: Any, issuer: str) -> tuple[PrincipalRef, ...]:
    """The `act` chain (RFC 8693, section 4.1), innermost first."""
    actors: list[PrincipalRef] = []
    while value is not None:
        subject = value.get("sub") if isinstance(value, dict) else None
        named = value.get("iss", issuer) if isinstance(value, dict) else None
        if not isinstance(subject, str) or not subject or not isinstance(named, str) or len(actors) >= _MAX_ACTORS:
            # One who cannot be told apart could approve what it proposed.
            raise Unauthenticated(f"The token's act chain does not name each of at most {_MAX_ACTORS} actors.")
        actors.append(PrincipalRef(named, subject))
        value = value.get("act")
    return tuple(reversed(actors))

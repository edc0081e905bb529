"""The development issuer: tokens for trying things out on one's own machine, and never anywhere else.

Whoever can read its key file can be anybody, so the file is its owner's alone, its tokens are accepted only under
`serve --dev` on loopback, and everyone it vouches for is marked `dev:` in the ledger (specification, section 9).
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from enactor.domain.errors import ConfigurationError, InvalidInput
from enactor.domain.principal import ALL_ACCOUNTS, DEV_ISSUER, Role
from enactor.http.claims import Trust, is_name
from enactor.ports.clock import Clock
from enactor.settings import ClaimNames

ALGORITHM: Final = "ES256"
AUDIENCE: Final = "enactor"
CLIENT: Final = "enactor-dev"
AGENT_CLIENT: Final = "enactor-dev-agent"
LIFETIME_SECONDS: Final = 8 * 3_600
_LONGEST_SECONDS: Final = 366 * 86_400


class DevIssuer:
    """An issuer whose private key is at hand.

    Args:
        key: an EC key on P-256 with its private part.
    """

    def __init__(self, key: ECKey) -> None:
        key.ensure_kid()
        self._key = key

    @property
    def public_key(self) -> dict[str, Any]:
        """The key that its tokens are verified with, as a JWK."""
        return dict(self._key.as_dict(private=False))

    @property
    def trust(self) -> Trust:
        """What it is trusted with: everything."""
        return Trust(
            issuer=DEV_ISSUER,
            audiences=frozenset({AUDIENCE}),
            client_ids=frozenset(),
            tenants=None,
            platform=True,
            claims=ClaimNames(),
            agent_clients=frozenset({AGENT_CLIENT}),
        )

    @classmethod
    def load(cls, path: Path) -> DevIssuer:
        """The issuer whose key is in `path`; the file is made when there is none.

        Two processes that make it at once end with the same key.

        Raises:
            ConfigurationError: the file cannot be read or made, others can read it, or it holds no such key.
        """
        try:
            if not path.exists():
                _make(path)
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise ConfigurationError(f"Others can read the development key {path}: run chmod 600 {path}.")
            text = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"The development key {path} cannot be read or made: {error.strerror}. "
                "Name another file with ENACTOR_DEV_KEY_FILE."
            ) from None
        try:
            key = ECKey.import_key(msgspec.json.decode(text, type=dict[str, str | list[str]]))
        except (JoseError, ValueError, TypeError, KeyError):
            key = None
        if key is None or not key.is_private or key.curve_name != "P-256":
            raise ConfigurationError(f"{path} holds no development key; remove it, and a new one is made.")
        return cls(key)

    def mint(
        self,
        *,
        tenant: str,
        roles: Iterable[str],
        subject: str,
        clock: Clock,
        accounts: Iterable[str] = (ALL_ACCOUNTS,),
        agent: bool = False,
        lifetime_seconds: int = LIFETIME_SECONDS,
    ) -> str:
        """A token.

        Args:
            tenant: the tenant; empty for a platform administrator.
            roles: names of roles.
            subject: who it is about.
            accounts: the accounts it reaches; `*` means all.
            agent: it is about a program, which fills no human quorum; otherwise it is about a person at a terminal.
            lifetime_seconds: how long it is good for, up to a year.

        Raises:
            InvalidInput: something of it cannot be in a token.
        """
        named = list(roles)
        if unknown := sorted(set(named) - {role.value for role in Role}):
            raise InvalidInput(f"There is no role '{unknown[0]}'; roles are {', '.join(Role)}.")
        if tenant and not is_name(tenant):
            raise InvalidInput(
                "A tenant's id is 1 to 64 letters, digits, '.', '_' or '-', and does not begin with '_'."
            )
        if not tenant and Role.PLATFORM_ADMIN.value not in named:
            raise InvalidInput("A tenant is missing: only platform_admin is a role without one.")
        if Role.PLATFORM_ADMIN.value in named and (tenant or len(named) != 1):
            raise InvalidInput("platform_admin is a role without a tenant, and without any other role.")
        covered = list(accounts)
        if not all(account == ALL_ACCOUNTS or is_name(account) for account in covered):
            raise InvalidInput("An account's id is 1 to 64 letters, digits, '.', '_' or '-'; '*' means all.")
        if not subject or not subject.isprintable() or len(subject) > 255:
            raise InvalidInput("A subject has 1 to 255 characters.")
        if not 1 <= lifetime_seconds <= _LONGEST_SECONDS:
            raise InvalidInput("A token lives from one second to a year.")
        now = clock.now_ms() // 1000
        claims: dict[str, Any] = {
            "iss": DEV_ISSUER,
            "sub": subject,
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + lifetime_seconds,
            "roles": named,
            "client_id": AGENT_CLIENT if agent else CLIENT,
        }
        if tenant:
            claims |= {"tenant_id": tenant, "account_ids": covered}
        if not agent:
            # RFC 8176: a test that somebody is there. Whoever asked for the token did so by hand.
            claims["amr"] = ["user"]
        return jwt.encode({"alg": ALGORITHM, "kid": self._key.kid}, claims, self._key)


def _make(path: Path) -> None:
    """Writes a new key beside `path` and links it there, so that the file is never seen half-written or replaced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ECKey.generate_key("P-256", private=True, auto_kid=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(key.as_dict(private=True)))
            file.flush()
            os.fsync(file.fileno())
        # Somebody else was first: theirs is the key.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(beside)
    finally:
        beside.unlink(missing_ok=True)

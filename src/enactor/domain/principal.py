"""Who acts: principals, their roles and what each role may do (specification, section 9)."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import Final

from msgspec import Struct

from enactor.domain.errors import Forbidden

ALL_ACCOUNTS: Final = "*"
DEV_ISSUER: Final = "enactor-dev"
"""The issuer of `serve --dev`; whoever it vouches for is marked `dev:` wherever an actor is recorded."""


class Role(StrEnum):
    """Roles do not nest: an approver who must also operate carries both."""

    PROPOSER = "proposer"
    APPROVER = "approver"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    ADMIN = "admin"
    PLATFORM_ADMIN = "platform_admin"


class Permission(StrEnum):
    """What a role permits; the service asks for permissions, never for roles."""

    PROPOSE = "propose"
    CANCEL_OWN = "cancel_own"
    READ_OWN = "read_own"
    READ = "read"
    EDIT = "edit"
    DECIDE = "decide"
    CANCEL = "cancel"
    SWITCH = "switch"
    RESOLVE = "resolve"
    UNDO = "undo"
    LEDGER = "ledger"
    BUDGET = "budget"
    POLICY = "policy"
    REPLAY = "replay"
    ERASE = "erase"
    REGISTRY = "registry"
    PLATFORM_SWITCH = "platform_switch"


_GRANTS: Final[dict[Role, frozenset[Permission]]] = {
    Role.PROPOSER: frozenset({Permission.PROPOSE, Permission.CANCEL_OWN, Permission.READ_OWN}),
    Role.APPROVER: frozenset({Permission.READ, Permission.EDIT, Permission.DECIDE}),
    Role.OPERATOR: frozenset(
        {Permission.READ, Permission.CANCEL, Permission.SWITCH, Permission.RESOLVE, Permission.UNDO}
    ),
    Role.AUDITOR: frozenset({Permission.READ, Permission.LEDGER}),
    Role.ADMIN: frozenset({Permission.READ, Permission.BUDGET, Permission.POLICY, Permission.REPLAY, Permission.ERASE}),
    Role.PLATFORM_ADMIN: frozenset({Permission.REGISTRY, Permission.PLATFORM_SWITCH}),
}


class PrincipalRef(Struct, frozen=True, order=True):
    """A principal's identity as records keep it: the token's issuer and subject."""

    iss: str
    sub: str

    def __str__(self) -> str:
        return f"dev:{self.sub}" if self.iss == DEV_ISSUER else f"{self.iss}#{self.sub}"


class Principal(Struct, frozen=True, kw_only=True, dict=True):
    """Who a request comes from, from the token alone. What follows from it is found out once, and kept in it.

    Attributes:
        iss: the issuer.
        sub: the subject at that issuer.
        tenant_id: the one tenant the token is good for; empty for platform administrators.
        account_ids: accounts of the tenant it reaches; empty means none, `("*",)` means all.
        roles: the roles it carries.
        actors: the token's `act` chain (RFC 8693), innermost first: on whose behalf it acts, and through whom.
        interactive: a person logged in through a client that is not an agent's; fills a human quorum.
        client_id: the OAuth client the token was issued to.
    """

    iss: str
    sub: str
    tenant_id: str
    account_ids: tuple[str, ...] = ()
    roles: frozenset[Role] = frozenset()
    actors: tuple[PrincipalRef, ...] = ()
    interactive: bool = False
    client_id: str = ""

    @cached_property
    def ref(self) -> PrincipalRef:
        """The identity that records keep."""
        return PrincipalRef(self.iss, self.sub)

    @cached_property
    def name(self) -> str:
        """How records name it as an actor."""
        return str(self.ref)

    @cached_property
    def role_names(self) -> tuple[str, ...]:
        """Its roles as policies know them, sorted."""
        return tuple(sorted(role.value for role in self.roles))

    @cached_property
    def _everyone(self) -> frozenset[PrincipalRef]:
        return frozenset((self.ref, *self.actors))

    @cached_property
    def _granted(self) -> frozenset[Permission]:
        return frozenset().union(*(_GRANTS[role] for role in self.roles))

    def may(self, permission: Permission) -> bool:
        """Whether any of the roles grants `permission`."""
        return permission in self._granted

    def everyone(self) -> frozenset[PrincipalRef]:
        """The principal and everybody in its `act` chain."""
        return self._everyone

    def require(self, *permissions: Permission) -> None:
        """Raises `Forbidden` unless one of `permissions` is granted."""
        if self._granted.isdisjoint(permissions):
            names = sorted({role.value for role, grants in _GRANTS.items() if grants & set(permissions)})
            raise Forbidden(f"This needs one of the roles: {', '.join(names)}.")

    def reaches(self, account_id: str) -> bool:
        """Whether the token covers the account. A refusal is worded like absence, so nothing leaks."""
        return account_id in self.account_ids or ALL_ACCOUNTS in self.account_ids


def agent(
    sub: str, *, tenant_id: str = "default", iss: str = "local", account_ids: tuple[str, ...] = ("*",)
) -> Principal:
    """A program that proposes, for embedded use, where no token says who acts."""
    return Principal(
        iss=iss, sub=sub, tenant_id=tenant_id, account_ids=account_ids, roles=frozenset({Role.PROPOSER}), client_id=sub
    )


def person(
    sub: str,
    *,
    roles: frozenset[Role] | None = None,
    tenant_id: str = "default",
    iss: str = "local",
    account_ids: tuple[str, ...] = ("*",),
) -> Principal:
    """A person, for embedded use, where the embedding program knows who acts. Approves and operates by default."""
    granted = roles if roles is not None else frozenset({Role.APPROVER, Role.OPERATOR, Role.AUDITOR, Role.ADMIN})
    return Principal(iss=iss, sub=sub, tenant_id=tenant_id, account_ids=account_ids, roles=granted, interactive=True)

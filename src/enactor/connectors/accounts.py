"""Which of a connector's targets serves an account, and which version of the settings that is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

from enactor.domain.canonical import digest

EVERY_ACCOUNT: Final = "*"


class TargetSettings(Protocol):
    """Settings of one target: the tenant it is for, and the accounts, each perhaps with what it is called there."""

    @property
    def tenant(self) -> str:
        """Whose accounts they are."""

    @property
    def accounts(self) -> Collection[str] | None:
        """The accounts; None for every account of the tenant."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Everything in them, as JSON's types."""


SettingsT = TypeVar("SettingsT", bound=TargetSettings)
TargetT = TypeVar("TargetT")


class AccountTargets(Generic[TargetT]):
    """The targets of a connector, by tenant and account.

    Args:
        kind: the connector and the form of its settings; it goes into every version.
        settings: the targets', of which no two serve the same account.
        make: makes a target of its settings.

    Attributes:
        each: every target once.
        accounts: the accounts that are named.
    """

    def __init__(self, kind: str, settings: Iterable[SettingsT], make: Callable[[SettingsT], TargetT]) -> None:
        made: list[TargetT] = []
        self._serving: dict[tuple[str, str], tuple[TargetT, str]] = {}
        for one in settings:
            target = make(one)
            made.append(target)
            whole = one.model_dump(mode="json")
            accounts: Collection[str] = {EVERY_ACCOUNT: ""} if one.accounts is None else one.accounts
            for account in accounts:
                # What serves one account, and of the others that share the target nothing.
                alone = {account: accounts[account]} if isinstance(accounts, Mapping) else [account]
                version = digest([kind, {**whole, "accounts": alone}])[:32]
                self._serving[one.tenant, account] = (target, version)
        self.each = tuple(made)
        self.accounts = frozenset(account for _, account in self._serving if account != EVERY_ACCOUNT)

    def find(self, tenant_id: str, account_id: str) -> TargetT | None:
        """The target that serves an account, or None."""
        found = self._found(tenant_id, account_id)
        return None if found is None else found[0]

    def version(self, tenant_id: str, account_id: str) -> str:
        """The version of the settings that serve an account; empty where none do."""
        found = self._found(tenant_id, account_id)
        return "" if found is None else found[1]

    def _found(self, tenant_id: str, account_id: str) -> tuple[TargetT, str] | None:
        serving = self._serving
        return serving.get((tenant_id, account_id)) or serving.get((tenant_id, EVERY_ACCOUNT))

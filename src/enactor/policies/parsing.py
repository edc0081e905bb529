"""From policy text to named policies and to the set that Cedar evaluates."""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterable
from enum import StrEnum
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

import cedarpy
from msgspec import Struct

from enactor.domain.errors import InvalidPolicy
from enactor.domain.policy import PolicyAction
from enactor.policies.statements import Place, Statement, statements

ACTION_TYPE: Final = "Enactor::Action"
"""Cedar's entity type of actions."""

RESERVED_PREFIX: Final = "enactor."
"""Begins the names of the built-in policies and of no others."""

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._:/-]{0,78}[A-Za-z0-9])?")
_UNFINISHED: Final = "unexpected end of input"
_COMPILED_SETS: Final = 256


class Origin(StrEnum):
    """Who wrote a policy."""

    BUILT_IN = "built-in"
    TENANT = "tenant"


class Policy(Struct, frozen=True):
    """One policy.

    Attributes:
        name: its `@id`, or `line-N` with the line it starts on.
        effect: `permit` or `forbid`.
        tree: Cedar's JSON policy format.
    """

    name: str
    effect: str
    origin: Origin
    place: Place
    text: str
    tree: dict[str, Any]

    def addresses(self, action: PolicyAction) -> bool:
        """Whether its scope admits the action, whatever its conditions say."""
        scope = self.tree["action"]
        if scope["op"] == "All":
            return True
        named = scope["entities"] if "entities" in scope else [scope["entity"]]
        return {"type": ACTION_TYPE, "id": action.value} in named


class RulesFor(Struct, frozen=True):
    """The policies whose scope admits one action, as Cedar evaluates them. The others could not change an answer.

    Attributes:
        policies: `policies[n]` is Cedar's `policy<n>`.
        read_context: some policy looks at the arguments.
        read_decimals: some policy looks at `context.decimals`.
        read_target: some policy looks at the target.
        name_intents: some policy names an intent by its id.
    """

    handle: cedarpy.PolicySet
    policies: tuple[Policy, ...]
    read_context: bool
    read_decimals: bool
    read_target: bool
    name_intents: bool

    @classmethod
    def of(cls, policies: Iterable[Policy]) -> RulesFor:
        """These policies together. Each was parsed on its own, so none can reach into its neighbour."""
        together = tuple(policies)
        # A text that merely looks like one of these costs time, never a wrong answer.
        trees = json.dumps([policy.tree for policy in together])
        return cls(
            cedarpy.PolicySet.from_str("\n".join(policy.text for policy in together)),
            together,
            read_context='{"Var": "context"}' in trees,
            read_decimals='"decimals"' in trees,
            read_target='"target"' in trees,
            name_intents='"type": "Enactor::Intent"' in trees,
        )

    def name_of(self, cedar_id: str) -> str:
        """The name of the policy that Cedar knows by this id."""
        return self.policies[int(cedar_id.removeprefix("policy"))].name


class CompiledPolicies(Struct, frozen=True):
    """The built-in policies and a tenant's: all of them, and those that concern each action."""

    policies: tuple[Policy, ...]
    by_action: dict[PolicyAction, RulesFor]


@cache
def built_in_text() -> str:
    """The text of the built-in policies."""
    return _packaged("default.cedar")


@cache
def schema() -> cedarpy.Schema:
    """What policies can speak of."""
    return cedarpy.Schema.from_str(_packaged("schema.cedarschema"))


def _packaged(name: str) -> str:
    return resources.files("enactor.policies").joinpath(name).read_text(encoding="utf-8")


@cache
def built_in_policies() -> tuple[Policy, ...]:
    """The built-in policies, named."""
    return tuple(_parse(statement, Origin.BUILT_IN) for statement in statements(built_in_text()))


def tenant_policies(text: str) -> tuple[Policy, ...]:
    """The policies in a tenant's text, named.

    Raises:
        InvalidPolicy: says the line and column of what does not parse, or of a policy whose name is not its own.
    """
    policies = tuple(_parse(statement, Origin.TENANT) for statement in statements(text))
    taken: dict[str, Place] = {}
    for policy in policies:
        if not _NAME.fullmatch(policy.name):
            raise policy.place.refuse("an @id is 1 to 80 letters, digits, spaces and . _ : / -")
        if policy.name.lower().startswith(RESERVED_PREFIX):
            raise policy.place.refuse(f"names that begin with {RESERVED_PREFIX} are the built-in policies'.")
        if policy.name in taken:
            raise policy.place.refuse(f'another policy, on line {taken[policy.name].line}, is called "{policy.name}".')
        taken[policy.name] = policy.place
    return policies


@lru_cache(maxsize=_COMPILED_SETS)
def compiled(text: str) -> CompiledPolicies:
    """The built-in policies with a tenant's `text`. The last sets asked for are kept, so a set is parsed once.

    Raises:
        InvalidPolicy: as `tenant_policies`.
    """
    policies = (*built_in_policies(), *tenant_policies(text))
    by_action = {
        action: RulesFor.of(policy for policy in policies if policy.addresses(action)) for action in PolicyAction
    }
    return CompiledPolicies(policies, by_action)


def _parse(statement: Statement, origin: Origin) -> Policy:
    try:
        document = json.loads(cedarpy.policies_to_json_str(statement.text))
    except ValueError as error:
        raise _located(statement, str(error)) from None
    if document["templates"]:
        raise statement.place.refuse("a policy with ?principal or ?resource does nothing here; name whom it is about.")
    (tree,) = document["staticPolicies"].values()
    place = statement.place
    # `@id` alone has no value; it names nothing.
    name = tree.get("annotations", {}).get("id") or f"line-{place.line}"
    return Policy(name, tree["effect"], origin, place, statement.text, tree)


def _located(statement: Statement, problem: str) -> InvalidPolicy:
    """The error at the token that Cedar stumbled over.

    Cedar says what it met, not where. Given only the tokens before that one, it misses the rest; given that one too, it
    complains: so the shortest beginning that is worse than unfinished ends with the culprit.
    """
    if problem == _UNFINISHED:
        end = statement.tokens[-1].end
        return Place.of(statement.source, end).refuse("the policy is not finished; each ends with a semicolon.")
    count = len(statement.tokens)
    at_fault = bisect.bisect_left(range(1, count), True, key=lambda size: _stumbles(statement.first(size)))
    if at_fault == count - 1 and not problem.startswith("unexpected token"):
        # Only the whole policy shows it, such as a function that does not exist.
        return statement.place.refuse(f"{problem}.")
    return Place.of(statement.source, statement.tokens[at_fault].start).refuse(f"{problem}.")


def _stumbles(beginning: str) -> bool:
    try:
        cedarpy.PolicySet.from_str(beginning)
    except ValueError as error:
        return str(error) != _UNFINISHED
    return False

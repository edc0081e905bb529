"""A question in the terms of the schema: Cedar's principal, action, resource and context."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import cedarpy
import orjson
from msgspec import Struct

from enactor.domain.action_type import RiskClass
from enactor.domain.policy import PolicyAction, PolicyQuestion
from enactor.policies.values import cedar_record

_NAMESPACE: Final = "Enactor"
_REMEMBERED: Final = 2_048
"""Entities of the questions last asked: reading them is half the work of an answer, and they seldom differ."""


class Facts(Struct, frozen=True):
    """A question without its arguments."""

    action: PolicyAction
    tenant_id: str
    principal_id: str
    principal_human: bool
    principal_roles: tuple[str, ...]
    account_id: str
    action_type: str
    action_intent_id: str
    connector_id: str
    risk_class: RiskClass
    target_type: str
    target_id: str
    scope: str

    @classmethod
    def of(cls, question: PolicyQuestion, *, with_intent: bool, with_target: bool) -> Facts:
        """The facts of a question; the intent's id and the target are left blank where no policy could tell."""
        return cls(
            question.action,
            question.tenant_id,
            question.principal_id,
            question.principal_human,
            question.principal_roles,
            question.account_id,
            question.action_type,
            question.action_intent_id if with_intent else "",
            question.connector_id,
            question.risk_class,
            question.target_type if with_target else "",
            question.target_id if with_target else "",
            question.scope,
        )

    @property
    def principal(self) -> dict[str, str]:
        """Who asks, as Cedar names it."""
        return _uid("User" if self.principal_human else "Program", self.principal_id)

    @property
    def resource(self) -> dict[str, str]:
        """What it is about, as Cedar names it."""
        if self.action is PolicyAction.SWITCH:
            return _uid("Scope", self.scope)
        return _uid("Intent", self.action_intent_id)


def cedar_request(facts: Facts, arguments: dict[str, Any], *, with_decimals: bool) -> dict[str, Any]:
    """The request, its context as JSON text.

    Args:
        facts: of the question.
        arguments: of the question.
        with_decimals: `context.decimals` is filled; else it stays empty, to save the work.

    Raises:
        InvalidParameters: the arguments have no form in Cedar.
        orjson.JSONEncodeError: a text in them is not Unicode.
    """
    context = {
        "arguments": cedar_record(arguments, "arguments"),
        "decimals": cedar_record(arguments, "arguments", as_decimals=True) if with_decimals else {},
    }
    return {
        "principal": facts.principal,
        "action": _uid("Action", facts.action.value),
        "resource": facts.resource,
        "context": orjson.dumps(context).decode(),
    }


@lru_cache(maxsize=_REMEMBERED)
def cedar_entities(facts: Facts) -> cedarpy.Entities:
    """The principal, in its roles, and the resource."""
    # An issuer is a URL without a fragment (OpenID Connect Core, section 2), so the first # ends it.
    issuer, _, subject = facts.principal_id.partition("#")
    principal = {
        "uid": facts.principal,
        "attrs": {"issuer": issuer, "subject": subject},
        "parents": [_uid("Role", role) for role in sorted(set(facts.principal_roles))],
    }
    attributes = _scope_attributes(facts) if facts.action is PolicyAction.SWITCH else _intent_attributes(facts)
    resource = {"uid": facts.resource, "attrs": attributes, "parents": []}
    return cedarpy.Entities.from_json_str(orjson.dumps([principal, resource]).decode())


def _uid(entity_type: str, entity_id: str) -> dict[str, str]:
    return {"type": f"{_NAMESPACE}::{entity_type}", "id": entity_id}


def _intent_attributes(facts: Facts) -> dict[str, Any]:
    return {
        "tenant": facts.tenant_id,
        "account": facts.account_id,
        "action_type": facts.action_type,
        "connector": facts.connector_id,
        "risk_class": facts.risk_class.value,
        "risk_rank": facts.risk_class.rank,
        "target": {"type": facts.target_type, "id": facts.target_id},
    }


def _scope_attributes(facts: Facts) -> dict[str, Any]:
    own = f"tenant:{facts.tenant_id}"
    covered = facts.scope.removeprefix(f"{own}/")
    kind, _, name = covered.partition(":")
    return {
        "tenant": facts.tenant_id,
        "name": facts.scope,
        "action_type": name if kind == "action-type" else "",
        "connector": name if kind == "connector" else "",
        # Any other spelling is somebody else's or the whole platform's.
        "within_tenant": facts.tenant_id != ""
        and (facts.scope == own or (covered != facts.scope and kind in ("connector", "action-type"))),
    }

"""What holds whatever a tenant writes and whatever is asked."""

import json
from typing import Any

import cedarpy
import orjson
from hypothesis import given
from hypothesis import strategies as st

from enactor.domain.action_type import RiskClass
from enactor.domain.canonical import canonical
from enactor.domain.policy import PolicyAction, PolicyQuestion
from enactor.domain.principal import Role
from enactor.policies.cedar import CedarPolicyEngine
from enactor.policies.parsing import built_in_text
from enactor.policies.values import cedar_record
from tests.policies.asking import permit, policies, question

ENGINE = CedarPolicyEngine()

atoms = st.sampled_from(
    [
        "true",
        "principal is Enactor::Program",
        'principal in Enactor::Role::"proposer"',
        'principal.subject == "planner"',
        'context.arguments.currency == "EUR"',
        "context.arguments.amount <= 50",
        'context.decimals.amount.lessThan(decimal("50.5"))',
        "context.arguments has amount",
        "resource is Enactor::Intent && resource.risk_rank >= 3",
        'resource is Enactor::Intent && resource.risk_class == "HIGH"',
        'resource is Enactor::Intent && resource.target.id == "pay_1"',
        'resource == Enactor::Intent::"ai_1"',
        'resource has account && resource.account == "ACC-1"',
        "resource is Enactor::Scope && resource.within_tenant",
    ]
)
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda one: f"!({one})"),
        st.tuples(inner, inner, inner).map(lambda parts: "(if {} then {} else {})".format(*parts)),
    ),
    max_leaves=5,
)
scopes = st.sampled_from(
    [
        "action",
        *(f'action == Enactor::Action::"{action}"' for action in PolicyAction),
        'action in [Enactor::Action::"auto_approve", Enactor::Action::"approve"]',
    ]
)


def texts(effects: st.SearchStrategy[str], scopes: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts of up to four policies."""
    one = st.tuples(effects, scopes, st.sampled_from(["when", "unless"]), conditions)
    return st.lists(one, max_size=4).map(
        lambda parts: "\n".join(
            f'@id("p{number}") {effect} (principal, {scope}, resource) {clause} {{ {condition} }};'
            for number, (effect, scope, clause, condition) in enumerate(parts)
        )
    )


arguments = st.fixed_dictionaries(
    {},
    optional={
        "amount": st.one_of(st.integers(0, 60), st.sampled_from([50.25, 50.75, None, "50", 1e300, 0.00001])),
        "currency": st.sampled_from(["EUR", "USD"]),
    },
)
questions = st.builds(
    question,
    st.sampled_from(PolicyAction),
    *[st.sampled_from([role.value for role in Role])] * 2,
    risk_class=st.sampled_from(RiskClass),
    principal_human=st.booleans(),
    account_id=st.sampled_from(["ACC-1", "ACC-2"]),
    target_id=st.sampled_from(["pay_1", "pay_2"]),
    action_intent_id=st.sampled_from(["ai_1", "ai_2"]),
    arguments=arguments,
)


@given(texts(st.just("permit"), scopes), questions)
def test_no_permits_approve_high_risk(text: str, asked: PolicyQuestion) -> None:
    """Whatever a tenant permits, a HIGH intent is never auto-approved."""
    fields = {name: getattr(asked, name) for name in ("principal_human", "account_id", "target_id", "arguments")}
    high = question("auto_approve", *asked.principal_roles, risk_class=RiskClass.HIGH, **fields)
    assert not ENGINE.ask(high, policies(text)).allowed


@given(texts(st.sampled_from(["permit", "forbid"]), scopes), questions)
def test_no_policies_widen_what_roles_allow(text: str, asked: PolicyQuestion) -> None:
    """For everything but auto-approval, what a tenant's policies permit the built-in set permits too."""
    if asked.action is not PolicyAction.AUTO_APPROVE and ENGINE.ask(asked, policies(text)).allowed:
        assert ENGINE.ask(asked, None).allowed


@given(texts(st.sampled_from(["permit", "forbid"]), scopes), questions)
def test_answers_are_cedars_own(text: str, asked: PolicyQuestion) -> None:
    """Splitting by action and remembering answers change nothing: Cedar, asked plainly, says the same."""
    ENGINE.check(text)
    answer = ENGINE.ask(asked, policies(text))
    plain = asked_plainly(asked, built_in_text() + text)
    assert answer.allowed is (plain.allowed and not plain.diagnostics.errors)
    assert len(answer.errors) == len(plain.diagnostics.errors)
    if not answer.errors:
        assert set(answer.reasons) == set(plain.diagnostics.id_annotations_by_reason.values())


def asked_plainly(asked: PolicyQuestion, text: str) -> cedarpy.AuthzResult:
    """Cedar's answer to the question put in full, nothing left out and nothing kept."""
    principal = {"type": f"Enactor::{'User' if asked.principal_human else 'Program'}", "id": asked.principal_id}
    issuer, subject = asked.principal_id.split("#")
    roles = [{"type": "Enactor::Role", "id": role} for role in dict.fromkeys(asked.principal_roles)]
    if asked.action is PolicyAction.SWITCH:
        resource = {"type": "Enactor::Scope", "id": asked.scope}
        attributes: dict[str, Any] = {
            "tenant": asked.tenant_id,
            "name": asked.scope,
            "action_type": "",
            "connector": "",
            "within_tenant": True,
        }
    else:
        resource = {"type": "Enactor::Intent", "id": asked.action_intent_id}
        attributes = {
            "tenant": asked.tenant_id,
            "action_type": asked.action_type,
            "connector": asked.connector_id,
            "account": asked.account_id,
            "risk_class": asked.risk_class.value,
            "risk_rank": asked.risk_class.rank,
            "target": {"type": asked.target_type, "id": asked.target_id},
        }
    return cedarpy.is_authorized(
        {
            "principal": principal,
            "action": {"type": "Enactor::Action", "id": asked.action.value},
            "resource": resource,
            "context": json.dumps(
                {
                    "arguments": cedar_record(asked.arguments, "arguments"),
                    "decimals": cedar_record(asked.arguments, "arguments", as_decimals=True),
                }
            ),
        },
        text,
        [
            {"uid": principal, "attrs": {"issuer": issuer, "subject": subject}, "parents": roles},
            {"uid": resource, "attrs": attributes, "parents": []},
        ],
    )


numbers = st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), st.floats(allow_nan=False, allow_infinity=False))
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.text(st.characters(exclude_categories=["Cs"])), numbers),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), json_values, max_size=4), st.booleans())
def test_arguments_mean_the_same_before_and_after_they_are_frozen(fields: dict[str, Any], as_decimals: bool) -> None:
    """What policies see does not depend on how a number was spelled before RFC 8785 froze it."""
    frozen = orjson.loads(canonical(fields))
    assert cedar_record(fields, "arguments", as_decimals=as_decimals) == cedar_record(
        frozen, "arguments", as_decimals=as_decimals
    )


@given(numbers, st.integers(-(10**14), 10**14))
def test_a_decimal_bound_holds_for_every_number(amount: float, limit: int) -> None:
    """A bound through `context.decimals` never lets a larger number pass, and passes every smaller one it can hold."""
    bound = permit(f'context.decimals.amount.lessThanOrEqual(decimal("{limit}.0"))')
    answer = ENGINE.ask(question(arguments={"amount": amount}), bound)
    if not answer.errors:
        assert answer.allowed is (amount <= limit)
    assert not answer.allowed or amount <= limit

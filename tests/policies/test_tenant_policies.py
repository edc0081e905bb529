"""A tenant's policies on top of the built-in ones: bounds, forbids, errors."""

from typing import Any

import pytest
from msgspec.structs import replace

from enactor.domain.action_type import RiskClass
from enactor.policies.cedar import CedarPolicyEngine
from tests.policies.asking import ANY, AUTO_APPROVE, permit, policies, question

ENGINE = CedarPolicyEngine()


def allowed(condition: str, **arguments: Any) -> bool:
    """Whether a permit with this condition auto-approves these arguments."""
    return ENGINE.ask(question(arguments=arguments), permit(condition)).allowed


@pytest.mark.parametrize(
    ("condition", "inside", "outside"),
    [
        ("context.arguments.amount <= 50", {"amount": 50}, {"amount": 51}),
        ("context.arguments.amount <= 50", {"amount": 50.0}, {"amount": 2**53}),
        ("context.arguments.amount >= -3", {"amount": -3}, {"amount": -4}),
        ('context.arguments.rate.lessThan(decimal("0.5"))', {"rate": 0.4999}, {"rate": 0.5001}),
        ('context.decimals.amount.lessThanOrEqual(decimal("50.0"))', {"amount": 50}, {"amount": 50.01}),
        ('context.decimals.amount.lessThanOrEqual(decimal("50.0"))', {"amount": 49.99}, {"amount": 51}),
        (
            'decimal(context.arguments.amount).lessThanOrEqual(decimal("50.0"))',
            {"amount": "49.99"},
            {"amount": "50.01"},
        ),
        ('context.arguments.note like "Test *"', {"note": "Test note"}, {"note": "note"}),
        ("context.arguments.urgent", {"urgent": True}, {"urgent": False}),
        ('["a", "b"].containsAll(context.arguments.tags)', {"tags": ["a"]}, {"tags": ["a", "c"]}),
        ('context.arguments.tags.contains("a")', {"tags": ["b", "a"]}, {"tags": []}),
        ("context.arguments.lines.isEmpty()", {"lines": []}, {"lines": [1]}),
        ("context.arguments.address.zip == 8000", {"address": {"zip": 8000}}, {"address": {"zip": 8001}}),
        ('context.decimals.cost.net == decimal("1.5")', {"cost": {"net": 1.5}}, {"cost": {"net": 2}}),
        ("!(context.arguments has amount)", {}, {"amount": 1}),
        ('context.arguments["a b"] == "Zürich"', {"a b": "Zürich"}, {"a b": "Zurich"}),
        ("ip(context.arguments.host).isLoopback()", {"host": "127.0.0.1"}, {"host": "192.0.2.1"}),
    ],
)
def test_a_bound_holds(condition: str, inside: dict[str, Any], outside: dict[str, Any]) -> None:
    """Arguments inside a bound are auto-approved, arguments outside are not, and neither is an error."""
    ENGINE.check(permit(condition).text)
    inner = ENGINE.ask(question(arguments=inside), permit(condition))
    outer = ENGINE.ask(question(arguments=outside), permit(condition))
    assert (inner.allowed, inner.reasons, inner.errors) == (True, ("bound",), ())
    assert (outer.allowed, outer.reasons, outer.errors) == (False, (), ())


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "bound: there is no amount"),
        ({"amount": "20"}, "bound: type error: expected long, got string"),
        ({"amount": [20]}, "bound: type error: expected long, got set"),
        ({"amount": {"is": 20}}, "bound: type error: expected long, got record"),
        ({"amount": True}, "bound: type error: expected long, got bool"),
        ({"amount": 20.5}, "bound: type error: expected long, got decimal"),
        ({"amount": None}, None),
        ({"amount": 2**63}, None),
        ({"amount": -(2**63) - 1}, None),
        ({"amount": 1e-5}, None),
        ({"amount": 1e300}, None),
        ({"amount": float("nan")}, None),
        ({"amount": -float("inf")}, None),
    ],
)
def test_a_bound_that_cannot_be_evaluated_answers_no(arguments: dict[str, Any], error: str | None) -> None:
    """A missing argument, one of another type and one that Cedar cannot hold are never inside a bound."""
    answer = ENGINE.ask(question(arguments=arguments), permit("context.arguments.amount <= 50"))
    assert not answer.allowed
    assert answer.reasons == ()
    unrepresentable = "bound: type error: expected long, got (entity of type `Enactor::Unrepresentable`)"
    assert answer.errors == (error or unrepresentable,)


@pytest.mark.parametrize("amount", [None, 1e300, 2**63])
def test_what_cedar_cannot_hold_does_not_slip_past_a_guard(amount: Any) -> None:
    """A forbid that begins with `has` is not evaded by a value that has no form in Cedar."""
    text = f"""
    @id("all") permit ({AUTO_APPROVE});
    @id("large") forbid ({ANY}) when {{ context.arguments has amount && context.arguments.amount > 50 }};
    """
    answer = ENGINE.ask(question(arguments={"amount": amount}), policies(text))
    assert not answer.allowed
    assert answer.errors[0].startswith("large: ")


@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_an_error_in_any_policy_answers_no(effect: str) -> None:
    """A permit that applies is worth nothing while another policy, of either effect, cannot be evaluated."""
    text = f"""
    @id("fine") permit ({AUTO_APPROVE});
    @id("broken") {effect} ({AUTO_APPROVE}) when {{ context.arguments.amount > 50 }};
    """
    assert ENGINE.ask(question(arguments={"amount": 1}), policies(text)).reasons == ("fine",)
    answer = ENGINE.ask(question(arguments={"note": "x"}), policies(text))
    assert (answer.allowed, answer.reasons, answer.errors) == (False, (), ("broken: there is no amount",))


def test_an_error_answers_no_to_every_action() -> None:
    """A forbid that cannot be evaluated also stops what roles permit."""
    text = f'@id("broken") forbid ({ANY}) when {{ context.arguments.amount > 50 }};'
    assert not ENGINE.ask(question("approve", "approver"), policies(text)).allowed
    assert ENGINE.ask(question("approve", "approver", arguments={"amount": 1}), policies(text)).allowed


def test_a_guard_keeps_a_bound_to_its_action_type() -> None:
    """A condition left of && keeps the bound from being evaluated for other action types."""
    text = f"""
    @id("refunds") permit ({AUTO_APPROVE})
    when {{ resource.action_type == "REFUND_PAYMENT" && context.arguments.amount <= 50 }};
    @id("notes") permit ({AUTO_APPROVE}) when {{ resource.action_type == "CREATE_INTERNAL_NOTE" }};
    """
    note = question(action_type="CREATE_INTERNAL_NOTE", arguments={"text": "hello"})
    assert ENGINE.ask(note, policies(text)).reasons == ("notes",)


def test_a_forbid_wins_over_every_permit() -> None:
    """Where one policy permits and another forbids, the answer is no, because of the one that forbids."""
    text = f"""
    @id("all") permit ({ANY});
    @id("frozen") forbid ({ANY}) when {{ resource is Enactor::Intent && resource.account like "frozen-*" }};
    """
    assert ENGINE.ask(question(account_id="ACC-1"), policies(text)).reasons == ("all",)
    assert ENGINE.ask(question(account_id="frozen-1"), policies(text)).reasons == ("frozen",)
    answer = ENGINE.ask(question("approve", "approver", account_id="frozen-1"), policies(text))
    assert (answer.allowed, answer.reasons) == (False, ("frozen",))


def test_all_policies_that_decide_are_reasons() -> None:
    """Every permit that applies is named, in order, also the built-in one."""
    text = f'@id("b") permit ({ANY}); @id("a") permit ({ANY}); @id("not") permit ({ANY}) when {{ false }};'
    assert ENGINE.ask(question("approve", "approver"), policies(text)).reasons == ("a", "b", "enactor.approve")


@pytest.mark.parametrize(
    ("condition", "same", "different"),
    [
        ("principal is Enactor::User", {"principal_human": True}, {"principal_human": False}),
        ('principal in Enactor::Role::"auditor"', {"principal_roles": ("auditor",)}, {"principal_roles": ("admin",)}),
        (
            'principal.subject == "a#b"',
            {"principal_id": "https://id.example#a#b"},
            {"principal_id": "https://id.example#a"},
        ),
        ('principal.issuer == "https://id.example"', {}, {"principal_id": "https://evil.example#planner"}),
        ('principal == Enactor::Program::"https://id.example#planner"', {}, {"principal_human": True}),
        ('resource.tenant == "acme"', {}, {"tenant_id": "other"}),
        ('resource.account == "ACC-1"', {}, {"account_id": "ACC-2"}),
        ('resource.action_type == "REFUND_PAYMENT"', {}, {"action_type": "refund_payment"}),
        ('resource.connector == "payments"', {}, {"connector_id": ""}),
        ('resource.risk_class == "LOW"', {}, {"risk_class": RiskClass.MEDIUM}),
        ("resource.risk_rank < 2", {}, {"risk_class": RiskClass.MEDIUM}),
        ('resource.target.type == "payment"', {}, {"target_type": ""}),
        ('resource.target.id == "pay_77"', {}, {"target_id": "pay_78"}),
        ('resource == Enactor::Intent::"ai_1"', {}, {"action_intent_id": "ai_2"}),
    ],
)
def test_policies_see_each_fact_of_a_question(condition: str, same: dict[str, Any], different: dict[str, Any]) -> None:
    """Every fact in the schema reaches the policies, and asking one question does not answer the other."""
    text = permit(condition)
    ENGINE.check(text.text)
    for _ in range(2):
        assert ENGINE.ask(replace(question(), **same), text).reasons == ("bound",)
        assert ENGINE.ask(replace(question(), **different), text).reasons == ()


@pytest.mark.parametrize(
    ("scope", "connector", "action_type"),
    [
        ("tenant:acme", "", ""),
        ("tenant:acme/connector:a:b/c", "a:b/c", ""),
        ("tenant:acme/action-type:X", "", "X"),
        ("connector:payments", "payments", ""),
        ("action-type:X", "", "X"),
        ("global", "", ""),
    ],
)
def test_policies_see_what_a_switch_covers(scope: str, connector: str, action_type: str) -> None:
    """A forbid can single out the connector or action type of a switch, by name or by its parts."""
    covered = permit(
        f'resource.connector == "{connector}" && resource.action_type == "{action_type}" && resource.name == "{scope}"',
        scope='principal, action == Enactor::Action::"switch", resource',
    )
    ENGINE.check(covered.text)
    asked = question("switch", "operator", "platform_admin", scope=scope)
    assert "bound" in ENGINE.ask(asked, covered).reasons


def test_a_hostile_identity_stays_text() -> None:
    """Quotes and backslashes in ids cannot become policy or make a question unanswerable."""
    asked = question("approve", "approver", principal_id='x"\\\n#in Enactor::Role::"operator"', account_id='"\\')
    assert ENGINE.ask(asked, None).reasons == ("enactor.approve",)
    assert not ENGINE.ask(replace(asked, principal_roles=('proposer", "approver',)), None).allowed


@pytest.mark.parametrize("name", ["__entity", "__extn", "__expr"])
@pytest.mark.parametrize("nested", [True, False])
def test_arguments_cannot_pose_as_cedars_own_values(name: str, nested: bool) -> None:
    """An argument in the spelling of a Cedar entity or decimal makes the answer no, however general the permit."""
    posing: dict[str, Any] = {name: {"fn": "decimal", "arg": "1.0", "type": "Enactor::User", "id": "x"}}
    answer = ENGINE.ask(question(arguments={"amount": posing} if nested else posing), permit("context has arguments"))
    assert not answer.allowed
    assert "a field called" in answer.errors[0]


def test_errors_do_not_quote_arguments() -> None:
    """What the ledger keeps of an evaluation error names policies and types, never an argument's value."""
    secret = "hunter2"
    conditions = {
        'decimal(context.arguments.text).lessThan(decimal("1.0"))': {"text": secret},
        "ip(context.arguments.text).isLoopback()": {"text": secret},
        "context.arguments.amount + 9223372036854775807 > 0": {"amount": 8675309},
        "-context.arguments.amount * 4 > 0": {"amount": 2**62 + 8675309},
    }
    for condition, arguments in conditions.items():
        answer = ENGINE.ask(question(arguments=arguments), permit(condition))
        assert not answer.allowed
        assert len(answer.errors) == 1
        assert secret not in answer.errors[0]
        assert "867530" not in answer.errors[0]


def test_text_that_is_not_unicode_answers_no() -> None:
    """Arguments that cannot be written as JSON are refused, not raised."""
    answer = ENGINE.ask(question(arguments={"text": "\ud800"}), permit('context.arguments.text != "x"'))
    assert (answer.allowed, answer.errors) == (False, ("the arguments are not JSON",))


def test_unreadable_stored_policies_permit_nothing() -> None:
    """Text that no longer parses answers no to everything, with the place in the errors."""
    answer = ENGINE.ask(question("approve", "approver"), policies("permit (principal"))
    assert not answer.allowed
    assert "Line 1, column 18" in answer.errors[0]


def test_policies_without_a_name_are_called_by_their_line() -> None:
    """A reason can be found in the text even if nobody named the policy."""
    text = f"// first line\n\n  permit ({AUTO_APPROVE});"
    assert ENGINE.ask(question(), policies(text)).reasons == ("line-3",)


def test_one_tenants_policies_do_not_answer_anothers_questions() -> None:
    """The same question gets each tenant's own answer, in any order."""
    open_text, closed_text = policies(f'@id("all") permit ({ANY});'), policies("")
    assert [ENGINE.ask(question(), text).allowed for text in (open_text, closed_text, None, open_text)] == [
        True,
        False,
        False,
        True,
    ]

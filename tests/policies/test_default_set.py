"""The built-in policies, rule by rule."""

import cedarpy
import pytest

from enactor.domain.action_type import RiskClass
from enactor.domain.policy import PolicyAction
from enactor.domain.principal import Role
from enactor.policies.cedar import CedarPolicyEngine
from enactor.policies.parsing import built_in_policies, built_in_text, schema
from tests.policies.asking import ANY, policies, question

ENGINE = CedarPolicyEngine()

PERMITTED = {
    (PolicyAction.PROPOSE, Role.PROPOSER): "enactor.propose",
    (PolicyAction.APPROVE, Role.APPROVER): "enactor.approve",
    (PolicyAction.UNDO, Role.OPERATOR): "enactor.undo",
    (PolicyAction.RESOLVE, Role.OPERATOR): "enactor.resolve",
    (PolicyAction.SWITCH, Role.OPERATOR): "enactor.switch",
    (PolicyAction.SWITCH, Role.PLATFORM_ADMIN): "enactor.switch-everywhere",
}


def test_the_built_in_text_fits_its_own_schema() -> None:
    """The built-in policies are valid, each under a name of its own that begins with enactor."""
    assert cedarpy.validate_policies(built_in_text(), schema()).errors == []
    names = [policy.name for policy in built_in_policies()]
    assert len(set(names)) == len(names)
    assert all(name.startswith("enactor.") for name in names)


@pytest.mark.parametrize("human", [True, False])
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", PolicyAction)
def test_each_role_may_do_its_own_and_nothing_else(action: PolicyAction, role: Role, human: bool) -> None:
    """With no policies of the tenant, an action is permitted to exactly the roles of the specification."""
    answer = ENGINE.ask(question(action, role.value, principal_human=human), None)
    reason = PERMITTED.get((action, role))
    assert answer.allowed is (reason is not None)
    assert answer.errors == ()
    if reason is not None:
        assert answer.reasons == (reason,)


@pytest.mark.parametrize("action", PolicyAction)
def test_nobody_without_a_role_may_do_anything_whatever_a_tenant_permits(action: PolicyAction) -> None:
    """A permit for everything opens nothing but auto-approval to a principal without roles."""
    answer = ENGINE.ask(question(action), policies(f'@id("all") permit ({ANY});'))
    assert answer.allowed is (action is PolicyAction.AUTO_APPROVE)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", [action for action in PolicyAction if action is not PolicyAction.AUTO_APPROVE])
def test_a_tenants_permit_gives_no_role_more_than_it_has(action: PolicyAction, role: Role) -> None:
    """With a permit for everything, each role still may do exactly what the built-in set permits it."""
    asked = question(action, role.value)
    everything = policies(f'@id("all") permit ({ANY});')
    assert ENGINE.ask(asked, everything).allowed is ENGINE.ask(asked, None).allowed


def test_an_unknown_action_type_cannot_be_proposed() -> None:
    """A question without an action type is refused, and says by which rule."""
    answer = ENGINE.ask(question("propose", "proposer", action_type=""), None)
    assert (answer.allowed, answer.reasons) == (False, ("enactor.propose-known-action-type",))


@pytest.mark.parametrize("risk_class", RiskClass)
def test_nothing_is_auto_approved_without_a_tenants_policy(risk_class: RiskClass) -> None:
    """The built-in set alone permits auto-approval of no risk class to no role."""
    answer = ENGINE.ask(question("auto_approve", *Role, risk_class=risk_class), None)
    assert not answer.allowed


def test_high_risk_is_never_auto_approved() -> None:
    """A permit for everything approves LOW and not HIGH; the refusal names the built-in rule."""
    everything = policies(f'@id("all") permit ({ANY});')
    assert ENGINE.ask(question(risk_class=RiskClass.LOW), everything).reasons == ("all",)
    answer = ENGINE.ask(question(risk_class=RiskClass.HIGH), everything)
    assert (answer.allowed, answer.reasons) == (False, ("enactor.auto-approve-never-high",))


@pytest.mark.parametrize(
    ("scope", "within"),
    [
        ("tenant:acme", True),
        ("tenant:acme/connector:payments", True),
        ("tenant:acme/action-type:REFUND_PAYMENT", True),
        ("tenant:other", False),
        ("tenant:acme/", False),
        ("tenant:acme/tenant:other", False),
        ("tenant:acme2", False),
        ("tenant:acme2/connector:payments", False),
        ("global", False),
        ("connector:payments", False),
        ("action-type:REFUND_PAYMENT", False),
        ("", False),
    ],
)
def test_an_operator_turns_switches_of_its_own_tenant_only(scope: str, within: bool) -> None:
    """Outside the tenant a switch takes a platform administrator."""
    assert ENGINE.ask(question("switch", "operator", scope=scope), None).allowed is within
    assert ENGINE.ask(question("switch", "platform_admin", scope=scope, tenant_id=""), None).allowed


def test_without_a_tenant_nothing_lies_within_it() -> None:
    """An empty tenant id does not make the platform's scopes an operator's."""
    assert not ENGINE.ask(question("switch", "operator", scope="tenant:", tenant_id=""), None).allowed

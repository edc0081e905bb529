"""Explanations: why an answer is what it is."""

from typing import Any

import pytest

from enactor.domain.errors import InvalidPolicy
from enactor.policies.cedar import CedarPolicyEngine
from enactor.policies.explaining import Explanation, Finding, explain
from enactor.policies.parsing import Origin
from tests.policies.asking import policies, question

ENGINE = CedarPolicyEngine()
TEXT = """@id("small") permit (principal, action == Enactor::Action::"auto_approve", resource)
when { context.arguments.amount <= 50 };
@id("frozen") forbid (principal, action in [Enactor::Action::"propose", Enactor::Action::"auto_approve"], resource)
when { resource.account == "frozen" };
@id("approvers") permit (principal, action in Enactor::Action::"approve", resource);
"""


def explained(*roles: str, action: str = "auto_approve", **fields: Any) -> Explanation:
    """The explanation of one question to the policies above."""
    return explain(ENGINE, question(action, *roles, **fields), policies(TEXT))


def findings(explanation: Explanation) -> dict[str, Finding]:
    """The tenant's policies' findings by name."""
    return {found.name: found.finding for found in explanation.findings if found.origin is Origin.TENANT}


def test_a_permission_names_its_policy() -> None:
    """A yes names what permits it; the others are told apart by why they do not matter."""
    explanation = explained(arguments={"amount": 5})
    assert explanation.answer.allowed
    assert explanation.because == "Permitted by small."
    assert findings(explanation) == {
        "small": Finding.APPLIES,
        "frozen": Finding.CONDITIONS_DIFFER,
        "approvers": Finding.OTHER_ACTION,
    }


def test_a_forbid_is_named_even_if_a_permit_applies() -> None:
    """A no says which policy forbids, and the permit it outweighs still shows as applying."""
    explanation = explained(arguments={"amount": 5}, account_id="frozen")
    assert explanation.because == "Forbidden by frozen."
    assert findings(explanation)["small"] is Finding.APPLIES
    assert findings(explanation)["frozen"] is Finding.APPLIES


def test_a_missing_permission_names_what_came_near() -> None:
    """Where nothing permits, the permits for the action that ask for something else are named."""
    assert explained(arguments={"amount": 51}).because == (
        "Refused: no policy permits auto_approve here. These permit it under other conditions: small."
    )
    nothing_near = explain(ENGINE, question(), None)
    assert nothing_near.because == "Refused: no policy permits auto_approve here."


def test_an_error_is_the_reason_of_a_refusal() -> None:
    """A policy that fails is marked, with the error, and the answer says so."""
    explanation = explained(arguments={})
    assert explanation.because == "Refused: small: there is no amount."
    failed = [found for found in explanation.findings if found.finding is Finding.FAILED]
    assert [(found.name, found.error) for found in failed] == [("small", "small: there is no amount")]


def test_every_policy_is_shown_with_its_text_and_place() -> None:
    """Built-in policies come first, then the tenant's, each with its line and its text as written."""
    shown = explained().findings
    origins = [found.origin for found in shown]
    assert origins == sorted(origins)
    assert origins.count(Origin.TENANT) == 3
    assert [(found.line, found.effect) for found in shown[-3:]] == [(1, "permit"), (3, "forbid"), (5, "permit")]
    assert shown[-1].text == '@id("approvers") permit (principal, action in Enactor::Action::"approve", resource);'


def test_explaining_agrees_with_asking() -> None:
    """The explanation carries the engine's own answer."""
    asked = question("approve", "approver")
    assert explain(ENGINE, asked, policies(TEXT)).answer == ENGINE.ask(asked, policies(TEXT))
    assert set(ENGINE.ask(asked, policies(TEXT)).reasons) == {"approvers", "enactor.approve"}


def test_text_that_does_not_parse_cannot_be_explained() -> None:
    """The error with the place reaches the person."""
    with pytest.raises(InvalidPolicy):
        explain(ENGINE, question(), policies("permit"))

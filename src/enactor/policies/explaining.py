"""Why a question is answered as it is: each policy on its own, for people (`enactor policy explain`)."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from enactor.domain.policy import PolicyAnswer, PolicyQuestion, PolicySet
from enactor.policies.cedar import evaluate
from enactor.policies.parsing import Origin, Policy, RulesFor, compiled
from enactor.ports.policy import PolicyEngine


class Finding(StrEnum):
    """What one policy says to one question."""

    APPLIES = "applies"
    CONDITIONS_DIFFER = "conditions differ"
    OTHER_ACTION = "other action"
    FAILED = "failed"


class PolicyFinding(Struct, frozen=True, kw_only=True):
    """One policy and what it says.

    Attributes:
        line: where it starts in its text, from 1.
        error: why it failed, without values of arguments; else empty.
    """

    name: str
    effect: str
    origin: Origin
    line: int
    text: str
    finding: Finding
    error: str = ""


class Explanation(Struct, frozen=True, kw_only=True):
    """The answer, the one sentence that says why, and every policy's part in it."""

    answer: PolicyAnswer
    because: str
    findings: tuple[PolicyFinding, ...]


def explain(engine: PolicyEngine, question: PolicyQuestion, policies: PolicySet | None) -> Explanation:
    """The engine's answer, explained.

    Raises:
        InvalidPolicy: the tenant's text does not parse.
    """
    answer = engine.ask(question, policies)
    whole = compiled(policies.text if policies else "")
    findings = tuple(_finding(question, policy) for policy in whole.policies)
    return Explanation(answer=answer, because=_because(question, answer, findings), findings=findings)


def _finding(question: PolicyQuestion, policy: Policy) -> PolicyFinding:
    finding, error = Finding.OTHER_ACTION, ""
    if policy.addresses(question.action):
        answer = evaluate(question, RulesFor.of((policy,)), "")
        if answer.errors:
            finding, error = Finding.FAILED, "; ".join(answer.errors)
        else:
            # A policy that applies, permit or forbid, is the reason of its own answer.
            finding = Finding.APPLIES if answer.reasons else Finding.CONDITIONS_DIFFER
    return PolicyFinding(
        name=policy.name,
        effect=policy.effect,
        origin=policy.origin,
        line=policy.place.line,
        text=policy.text,
        finding=finding,
        error=error,
    )


def _because(question: PolicyQuestion, answer: PolicyAnswer, findings: tuple[PolicyFinding, ...]) -> str:
    names = ", ".join(answer.reasons)
    if answer.allowed:
        return f"Permitted by {names}."
    if answer.errors:
        return f"Refused: {'; '.join(answer.errors)}."
    if names:
        return f"Forbidden by {names}."
    near = ", ".join(
        finding.name
        for finding in findings
        if finding.effect == "permit" and finding.finding is Finding.CONDITIONS_DIFFER
    )
    sentence = f"Refused: no policy permits {question.action.value} here."
    return f"{sentence} These permit it under other conditions: {near}." if near else sentence

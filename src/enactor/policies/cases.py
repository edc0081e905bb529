"""Policy test files: questions and the answers a tenant wants (`enactor policy test FILE`).

A file is TOML, a `[[cases]]` table for each case; docs/policies.md shows one. Fields are called as policies call them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct, field

from enactor.domain.action_type import RiskClass
from enactor.domain.canonical import canonical
from enactor.domain.errors import InvalidInput
from enactor.domain.policy import PolicyAction, PolicyAnswer, PolicyMode, PolicyQuestion, PolicySet
from enactor.domain.principal import Role
from enactor.ports.policy import PolicyEngine

_Form = TypeVar("_Form", bound=Struct)

_SOMEBODY: Final = "https://issuer.example#somebody"


class InvalidCases(InvalidInput):
    """A policy test file is not TOML, or not of the form that `docs/policies.md` describes."""

    error_code = "INVALID_POLICY_CASES"


class Expectation(StrEnum):
    """The answer a case wants."""

    PERMIT = "permit"
    FORBID = "forbid"


class PrincipalKind(StrEnum):
    """Cedar's entity types for who acts."""

    USER = "user"
    PROGRAM = "program"


class CasePrincipal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks. `id` is `issuer#subject`."""

    id: str = _SOMEBODY
    kind: PrincipalKind = PrincipalKind.PROGRAM
    roles: tuple[Role, ...] = ()


class CaseTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What would be acted upon."""

    type: str = ""
    id: str = ""


class CaseQuestion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question in the words of the schema."""

    action: PolicyAction
    principal: CasePrincipal = field(default_factory=CasePrincipal)
    tenant: str = "acme"
    account: str = ""
    action_type: str = ""
    intent: str = ""
    connector: str = ""
    risk_class: RiskClass = RiskClass.HIGH
    target: CaseTarget = field(default_factory=CaseTarget)
    scope: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)

    def question(self) -> PolicyQuestion:
        """The same question for the policy engine."""
        return PolicyQuestion(
            action=self.action,
            tenant_id=self.tenant,
            principal_id=self.principal.id,
            principal_human=self.principal.kind is PrincipalKind.USER,
            principal_roles=tuple(role.value for role in self.principal.roles),
            account_id=self.account,
            action_type=self.action_type,
            action_intent_id=self.intent,
            connector_id=self.connector,
            risk_class=self.risk_class,
            target_type=self.target.type,
            target_id=self.target.id,
            scope=self.scope,
            arguments=self.arguments,
        )


class Case(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question and its wanted answer. `reasons`, if given, are exactly the policies that must decide."""

    name: str
    question: CaseQuestion
    expect: Expectation
    reasons: tuple[str, ...] | None = None


class CaseResult(Struct, frozen=True, kw_only=True):
    """What came of a case. `problem` says what differs, in one sentence; empty when it passed."""

    case: Case
    answer: PolicyAnswer
    problem: str

    @property
    def passed(self) -> bool:
        """Whether the answer was the wanted one."""
        return not self.problem


class _CaseFile(Struct, frozen=True, forbid_unknown_fields=True):
    cases: tuple[Case, ...]


def load_cases(text: str) -> tuple[Case, ...]:
    """The cases in a test file.

    Raises:
        InvalidCases: not TOML, a field that is missing, unknown or of the wrong type, or no case at all.
    """
    cases = _converted(text, _CaseFile).cases
    if not cases:
        raise InvalidCases("There is no case; write a [[cases]] table for each.")
    for case in cases:
        _refuse_non_json(case.question, f'case "{case.name}"')
    return cases


def load_question(text: str) -> PolicyQuestion:
    """The one question in a TOML text: what stands under `[cases.question]` in a test file.

    Raises:
        InvalidCases: as `load_cases`.
    """
    question = _converted(text, CaseQuestion)
    _refuse_non_json(question, "the question")
    return question.question()


def run_cases(engine: PolicyEngine, policies_text: str, cases: Sequence[Case]) -> list[CaseResult]:
    """Asks every case's question of the built-in policies together with `policies_text`.

    Raises:
        InvalidPolicy: the text cannot be a tenant's policies.
    """
    engine.check(policies_text)
    return [_result(engine, policies_text, case) for case in cases]


def _result(engine: PolicyEngine, text: str, case: Case) -> CaseResult:
    policies = PolicySet(
        tenant_id=case.question.tenant, version=1, text=text, mode=PolicyMode.ENFORCE, set_by="", set_at=""
    )
    answer = engine.ask(case.question.question(), policies)
    return CaseResult(case=case, answer=answer, problem=_problem(case, answer))


def _problem(case: Case, answer: PolicyAnswer) -> str:
    given = Expectation.PERMIT if answer.allowed else Expectation.FORBID
    why = "; ".join(answer.errors) or ", ".join(answer.reasons) or "no policy applies"
    if given is not case.expect:
        return f"wanted {case.expect.value}, got {given.value} ({why})"
    if case.reasons is not None and set(case.reasons) != set(answer.reasons):
        return f"wanted {given.value} because of {', '.join(case.reasons) or 'no policy'}, got it because of {why}"
    return ""


def _converted(text: str, form: type[_Form]) -> _Form:
    try:
        return msgspec.convert(tomllib.loads(text), form)
    except tomllib.TOMLDecodeError as error:
        raise InvalidCases(f"This is not TOML: {error}.") from None
    except RecursionError:
        raise InvalidCases("The file is nested too deeply.") from None
    except msgspec.ValidationError as error:
        raise InvalidCases(f"{error}.") from None


def _refuse_non_json(question: CaseQuestion, where: str) -> None:
    try:
        canonical(question.arguments)
    except InvalidInput as error:
        raise InvalidCases(f"In {where}, arguments are not JSON: {error.message}") from None

"""The policy engine: the built-in policies and a tenant's own, evaluated by Cedar (specification, section 4).

Cedar permits only what some policy permits and none forbids, and leaves out policies that fail to evaluate. Here a
policy that fails makes the answer no, whatever the others say: a rule that could not be read may have been the one that
forbids.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Final

import cedarpy
import orjson

from enactor.domain.errors import InvalidParameters, InvalidPolicy
from enactor.domain.policy import PolicyAnswer, PolicyMode, PolicyQuestion, PolicySet
from enactor.policies.checking import check_text
from enactor.policies.parsing import RulesFor, built_in_text, compiled
from enactor.policies.questions import Facts, cedar_entities, cedar_request

_VERSION_DIGITS: Final = 32
_REMEMBERED_VERSIONS: Final = 1_024
_REMEMBERED_ANSWERS: Final = 4_096

_EVALUATION_ERROR: Final = re.compile(r"error while evaluating policy `(policy[0-9]+)`: (.*)", re.DOTALL)
_MISSING: Final = re.compile(r"record does not have the attribute `([^`]*)`")
_TYPES: Final = re.compile(r"type error: expected [A-Za-z0-9_:`(), ]+")


class CedarPolicyEngine:
    """Implements `enactor.ports.policy.PolicyEngine`. May be shared between threads.

    An answer is a function of the policies and of what they read of the question; where they read no arguments, the
    answers given are remembered.
    """

    def __init__(self) -> None:
        self._answers: dict[tuple[str, Facts], PolicyAnswer] = {}

    def version(self, policies: PolicySet | None) -> str:
        return _version(_text(policies), policies.mode if policies else PolicyMode.ENFORCE)

    def check(self, text: str) -> None:
        check_text(text)

    def ask(self, question: PolicyQuestion, policies: PolicySet | None) -> PolicyAnswer:
        version = self.version(policies)
        try:
            rules = compiled(_text(policies)).by_action[question.action]
        except InvalidPolicy as error:
            # Stored text was checked when it was set; should it be unreadable all the same, nothing is permitted.
            return _refusal(f"the tenant's policies cannot be read: {error.message}", version)
        if rules.read_context:
            return evaluate(question, rules, version)
        key = (version, facts_of(question, rules))
        answer = self._answers.get(key)
        if answer is None:
            answer = evaluate(question, rules, version)
            if len(self._answers) >= _REMEMBERED_ANSWERS:
                self._answers.clear()
            self._answers[key] = answer
        return answer


def facts_of(question: PolicyQuestion, rules: RulesFor) -> Facts:
    """Everything of a question, its arguments aside, that these rules can tell apart."""
    return Facts.of(question, with_intent=rules.name_intents, with_target=rules.read_target)


def evaluate(question: PolicyQuestion, rules: RulesFor, version: str) -> PolicyAnswer:
    """What the rules answer.

    Args:
        question: what is asked.
        rules: those for the question's action.
        version: goes into the answer.
    """
    facts = facts_of(question, rules)
    try:
        request = cedar_request(facts, question.arguments, with_decimals=rules.read_decimals)
    except InvalidParameters as error:
        return _refusal(error.message, version)
    except orjson.JSONEncodeError:
        return _refusal("the arguments are not JSON", version)
    result = cedarpy.is_authorized(request, rules.handle, cedar_entities(facts))
    if result.decision is cedarpy.Decision.NoDecision:
        # Its message may quote the arguments.
        return _refusal("the question has no form in Cedar", version)
    errors = tuple(sorted(_described(error, rules) for error in result.diagnostics.errors))
    return PolicyAnswer(
        allowed=result.allowed and not errors,
        reasons=() if errors else tuple(sorted(map(rules.name_of, result.diagnostics.reasons))),
        errors=errors,
        policy_version=version,
    )


def _text(policies: PolicySet | None) -> str:
    return policies.text if policies else ""


@lru_cache(maxsize=_REMEMBERED_VERSIONS)
def _version(text: str, mode: PolicyMode) -> str:
    whole = hashlib.sha256()
    for part in (built_in_text(), text, mode.value):
        # Hashed on its own first: no text can be moved from one part to the next.
        whole.update(hashlib.sha256(part.encode("utf-8", "surrogatepass")).digest())
    return whole.hexdigest()[:_VERSION_DIGITS]


def _refusal(error: str, version: str) -> PolicyAnswer:
    return PolicyAnswer(allowed=False, reasons=(), errors=(error,), policy_version=version)


def _described(error: str, rules: RulesFor) -> str:
    """An evaluation error without values: Cedar's may quote arguments, and this one goes into the ledger."""
    found = _EVALUATION_ERROR.fullmatch(error)
    if found is None:
        return "a policy could not be evaluated"
    name, problem = rules.name_of(found[1]), found[2]
    if missing := _MISSING.fullmatch(problem):
        described = f"there is no {missing[1]}"
    elif _TYPES.fullmatch(problem):
        described = problem
    elif problem.startswith("integer overflow"):
        described = "a number is too large to reckon with"
    elif problem.startswith("error while evaluating `"):
        described = "a text is not what a function needs"
    else:
        described = "it could not be evaluated"
    return f"{name}: {described}"

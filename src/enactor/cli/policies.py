"""Policies: a tenant's own, and trying them before they count."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from enactor.cli.client import Api
from enactor.cli.failures import Failure
from enactor.cli.options import AsJson, group, read_text
from enactor.cli.output import print_block, print_fields, print_json, print_table, say
from enactor.cli.text import lines

if TYPE_CHECKING:
    from enactor.domain.policy import PolicySet

commands = group("policy", "Who may do what, in Cedar; and trying policies before they count.")


class Mode(StrEnum):
    """Whether what policies approve is executed."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


PolicyFile = Annotated[
    str | None,
    typer.Option("--policies", metavar="FILE", help="Policies to try; what the tenant has in force when absent."),
]


@commands.command("show")
def show(as_json: AsJson = False) -> None:
    """Show the tenant's own policies. The built-in ones hold as well."""
    answer = Api().get("/v1/policies")
    if as_json:
        print_json(answer)
        return
    policies = _own(answer)
    if policies is None:
        say("The tenant has no policies of its own: the built-in ones decide, and nothing is auto-approved.")
        return
    print_fields(
        (("version", policies.version), ("mode", policies.mode), ("set by", policies.set_by), ("at", policies.set_at))
    )
    print_block("policies", lines(policies.text.rstrip("\n")))


@commands.command("set")
def set_policies(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Cedar policies; - for standard input.")],
    mode: Annotated[
        Mode, typer.Option("--mode", help="shadow evaluates and records without executing.")
    ] = Mode.ENFORCE,
    as_json: AsJson = False,
) -> None:
    """Replace the tenant's policies. A text that does not validate changes nothing."""
    answer = Api().put("/v1/policies", {"text": read_text(file, "FILE"), "mode": mode.value.upper()})
    if as_json:
        print_json(answer)
        return
    version = answer.get("version") if isinstance(answer, dict) else None
    say(f"Policies version {version} are in force, mode {mode.value}.")


@commands.command("test")
def try_cases(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The cases, TOML; - for standard input.")],
    policies: PolicyFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask every case's question and compare the answers. Exit status 1 when one differs."""
    from enactor.policies.cases import load_cases, run_cases
    from enactor.policies.cedar import CedarPolicyEngine

    cases = load_cases(read_text(file, "FILE"))
    results = run_cases(CedarPolicyEngine(), _text(policies), cases)
    failed = [result for result in results if not result.passed]
    if as_json:
        print_json([{**msgspec.to_builtins(result), "passed": result.passed} for result in results])
    else:
        rows = [("passed" if result.passed else "failed", result.case.name, result.problem) for result in results]
        print_table(("result", "case", "problem"), rows, "")
    if failed:
        raise Failure(f"{len(failed)} of {len(results)} cases failed.")


@commands.command("explain")
def explain(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The question, TOML; - for standard input.")],
    policies: PolicyFile = None,
    as_json: AsJson = False,
) -> None:
    """Say how a question would be answered, and what every policy contributes."""
    from enactor.domain.policy import PolicyMode, PolicySet
    from enactor.policies.cases import load_question
    from enactor.policies.cedar import CedarPolicyEngine
    from enactor.policies.explaining import Finding
    from enactor.policies.explaining import explain as explained

    question = load_question(read_text(file, "FILE"))
    text = _text(policies)
    tried = PolicySet(tenant_id=question.tenant_id, version=1, text=text, mode=PolicyMode.ENFORCE, set_by="", set_at="")
    engine = CedarPolicyEngine()
    engine.check(text)
    explanation = explained(engine, question, tried)
    if as_json:
        print_json(msgspec.to_builtins(explanation))
        return
    print_fields((("answer", "permit" if explanation.answer.allowed else "forbid"), ("because", explanation.because)))
    rows = [
        (one.finding, one.effect, one.name, f"{one.origin} line {one.line}", one.error)
        for one in explanation.findings
        if one.finding is not Finding.OTHER_ACTION
    ]
    print_table(("finding", "effect", "policy", "where", "error"), rows, "No policy is about this action.")


def _text(policies: str | None) -> str:
    """The policies to try: a file's, else the tenant's own."""
    if policies is not None:
        return read_text(policies, "--policies")
    own = _own(Api().get("/v1/policies"))
    return own.text if own else ""


def _own(answer: object) -> PolicySet | None:
    from enactor.domain.policy import PolicySet

    if not isinstance(answer, dict) or not answer.get("version"):
        return None
    try:
        return msgspec.convert(answer, PolicySet)
    except msgspec.ValidationError as error:
        raise Failure(f"The server's answer is not understood ({error}); is it another version of Enactor?") from None

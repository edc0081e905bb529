"""Policies from the command line: the tenant's own, and trying them."""

import json
from pathlib import Path

import pytest

from tests.cli.support import Canned, problem, run

POLICY = """@id("small")
permit (principal, action == Enactor::Action::"auto_approve", resource)
when { context.arguments has amount && context.arguments.amount <= 50 };
"""
CASES = """
[[cases]]
name = "small refunds need nobody"
expect = "permit"
question.action = "auto_approve"
question.action_type = "REFUND"
question.risk_class = "LOW"
question.arguments.amount = 50

[[cases]]
name = "large refunds do"
expect = "{expect}"
question.action = "auto_approve"
question.action_type = "REFUND"
question.risk_class = "LOW"
question.arguments.amount = 51
"""
OWN = {"tenant_id": "acme", "version": 3, "text": POLICY, "mode": "ENFORCE", "set_by": "dev:ada", "set_at": "t"}
NONE = {"tenant_id": "acme", "version": 0, "text": "", "mode": "ENFORCE", "set_by": "", "set_at": ""}


@pytest.fixture(autouse=True)
def files(home: Path) -> None:
    """The files that the tests name."""
    Path("policy.cedar").write_text(POLICY)
    Path("good.toml").write_text(CASES.format(expect="forbid"))
    Path("bad.toml").write_text(CASES.format(expect="permit"))
    Path("question.toml").write_text('action = "auto_approve"\nrisk_class = "LOW"\narguments.amount = 7\n')


def test_show_prints_the_tenants_own(api: Canned) -> None:
    """The text is shown whole, or that there is none."""
    api.on("GET", "/v1/policies", OWN)
    api.on("GET", "/v1/policies", NONE)
    shown = run("policy", "show").stdout
    assert "version: 3\n" in shown
    assert "context.arguments.amount <= 50" in shown
    assert "nothing is auto-approved" in run("policy", "show").stdout
    assert json.loads(run("policy", "show", "--json").stdout) == NONE


def test_set_replaces_the_text(api: Canned) -> None:
    """The file's text and the mode are sent; standard input is a file too."""
    api.on("PUT", "/v1/policies", OWN)
    assert run("policy", "set", "policy.cedar").stdout == "Policies version 3 are in force, mode enforce.\n"
    assert api.requests[0].body == {"text": POLICY, "mode": "ENFORCE"}
    run("policy", "set", "-", "--mode", "shadow", "--json", given=POLICY)
    assert api.requests[1].body == {"text": POLICY, "mode": "SHADOW"}


def test_a_text_that_does_not_validate_is_refused(api: Canned) -> None:
    """The server's sentence is shown, with exit status 1."""
    api.on("PUT", "/v1/policies", problem(422, "INVALID_POLICY", "Line 1: unexpected token."), 422)
    result = run("policy", "set", "policy.cedar")
    assert (result.exit_code, result.stderr) == (1, "enactor: Line 1: unexpected token. [INVALID_POLICY]\n")


def test_cases_that_pass_exit_0() -> None:
    """Every case is one line; with --policies nothing but files is needed."""
    result = run("policy", "test", "good.toml", "--policies", "policy.cedar")
    assert result.exit_code == 0, result.stderr
    assert [line.split("\t")[:2] for line in result.stdout.splitlines()[1:]] == [
        ["passed", "small refunds need nobody"],
        ["passed", "large refunds do"],
    ]


def test_a_case_that_fails_exits_1() -> None:
    """The case and what differs are named."""
    result = run("policy", "test", "bad.toml", "--policies", "policy.cedar")
    assert result.exit_code == 1
    assert "failed\tlarge refunds do\twanted permit, got forbid" in result.stdout
    assert result.stderr == "enactor: 1 of 2 cases failed.\n"
    found = json.loads(run("policy", "test", "bad.toml", "--policies", "policy.cedar", "--json").stdout)
    assert [case["passed"] for case in found] == [True, False]


def test_cases_are_tried_on_what_is_in_force(api: Canned) -> None:
    """Without --policies the tenant's own text is asked, or only the built-in one."""
    api.on("GET", "/v1/policies", OWN)
    api.on("GET", "/v1/policies", NONE)
    assert run("policy", "test", "good.toml").exit_code == 0
    result = run("policy", "test", "good.toml")
    assert "failed\tsmall refunds need nobody" in result.stdout


@pytest.mark.parametrize(
    ("policies", "cases", "code"),
    [("permit (", CASES, "INVALID_POLICY"), (POLICY, "cases = 3", "INVALID_POLICY_CASES"), (POLICY, "", "INVALID")],
)
def test_files_that_are_none_are_one_line(policies: str, cases: str, code: str) -> None:
    """A broken policy or case file is told with its code."""
    Path("policy.cedar").write_text(policies)
    Path("good.toml").write_text(cases)
    result = run("policy", "test", "good.toml", "--policies", "policy.cedar")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert f"[{code}" in result.stderr


def test_explain_says_why() -> None:
    """The answer, the reason, and what every policy about the action contributes."""
    result = run("policy", "explain", "question.toml", "--policies", "policy.cedar")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("answer: permit\nbecause: Permitted by small.\n")
    assert "applies\tpermit\tsmall\t" in result.stdout
    found = json.loads(run("policy", "explain", "question.toml", "--policies", "policy.cedar", "--json").stdout)
    assert found["answer"]["allowed"] is True


def test_an_answer_of_another_version_is_told(api: Canned) -> None:
    """Policies that the client cannot read are not tried as if there were none."""
    api.on("GET", "/v1/policies", {**OWN, "mode": "PONDER"})
    result = run("policy", "explain", "question.toml")
    assert result.exit_code == 1
    assert "another version" in result.stderr

"""The examples in docs/policies.md do what the guide says."""

import re
from pathlib import Path

from enactor.policies.cases import load_cases, run_cases
from enactor.policies.cedar import CedarPolicyEngine

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "policies.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    """The guide's fenced blocks of one language, in order."""
    return [code for found, code in BLOCK.findall(GUIDE.read_text(encoding="utf-8")) if found == language]


def test_every_block_is_of_a_language_that_is_tested() -> None:
    """No example goes unchecked because of how its block is marked."""
    found = {language for language, _ in BLOCK.findall(GUIDE.read_text(encoding="utf-8"))}
    assert found == {"cedar", "toml", "python"}


def test_the_policies_may_be_set_and_pass_the_cases() -> None:
    """All of the guide's policies together are valid and answer its test file as it says."""
    results = run_cases(CedarPolicyEngine(), "\n".join(blocks("cedar")), load_cases("\n".join(blocks("toml"))))
    assert len(results) >= 5
    assert [(result.case.name, result.problem) for result in results if not result.passed] == []


def test_the_python_examples_run() -> None:
    """The guide's Python runs from top to bottom, assertions included."""
    code = "\n".join(blocks("python"))
    assert code.count("assert ") >= 2
    exec(compile(code, str(GUIDE), "exec"), {})  # noqa: S102 - the guide is ours

"""Which policy texts may be set, and what a refusal says."""

import subprocess
import sys
from typing import Any

import pytest

from enactor.domain.errors import InvalidPolicy
from enactor.policies.cedar import CedarPolicyEngine
from tests.policies.asking import ANY, AUTO_APPROVE, permit

ENGINE = CedarPolicyEngine()


def refusal(text: str) -> InvalidPolicy:
    """The error that `text` is refused with."""
    with pytest.raises(InvalidPolicy) as caught:
        ENGINE.check(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        (f"permit ({ANY})", 1, 37, "not finished"),
        (f"permit ({ANY});\n\npermit ({ANY}", 3, 36, "not finished"),
        (f"// comment; with a semicolon\npermit ({ANY})\nwhen {{ resource.a..b }};", 3, 19, "unexpected token `.`"),
        (f"permit ({ANY}) when {{ true;", 1, 49, "unexpected token `;`"),
        (f'@id("semi;colon") permit ({ANY});\nforbid {ANY};', 2, 8, "unexpected token `principal`"),
        (f"permit ({ANY});\n  permit ({ANY}) when {{ undefined(1) }};", 2, 3, "`undefined` is not a valid function"),
        (f"permit ({ANY})\nwhen {{ 'a' == 'a' }};", 2, 8, "no policy can have this character"),
        (f'permit ({ANY})\nwhen {{ "a }};', 2, 8, "no closing quote"),
        (f"permit ({ANY}) when {{ 99999999999999999999 > 1 }};", 1, None, "integer"),
        ("\x00", 1, 1, "no policy can have this character"),
        ("permission;", 1, 11, "unexpected token"),
        ("permit (principal == ?principal, action, resource);", 1, 1, "?principal"),
        (f'@id("a") permit ({ANY});\n@id("a") forbid ({ANY});', 2, 1, 'on line 1, is called "a"'),
        (f'\n @id("Enactor.mine") permit ({ANY});', 2, 2, "enactor."),
        (f'@id("a\\nb") permit ({ANY});', 1, 1, "@id"),
        (f'@id("a") @id("b") permit ({ANY});', 1, 1, "duplicate annotation"),
    ],
)
def test_a_refusal_says_where(text: str, line: int, column: int | None, says: str) -> None:
    """Text that does not parse or is named badly is refused with the line and column of the culprit."""
    error = refusal(text)
    assert error.error_code == "INVALID_POLICY"
    assert error.details["line"] == line
    assert column is None or error.details["column"] == column
    assert says in error.message
    assert error.message.startswith(f"Line {line}, column {error.details['column']}: ")


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ('unknown("x")', "`unknown` is not a valid function"),
        ('{".": 1, "left": context.arguments.a} == {".": resource.typo, "left": 1}', "attribute `typo`"),
        ('resource.acount == "x"', "attribute `acount` on entity type `Enactor::Intent` not found"),
        ("context.argments.amount < 5", "attribute `argments` in context"),
        ('principal in Enactor::Role::"aprover"', '`"aprover"` is not declared'),
        ("principal is Enactor::Person", "unrecognized entity type `Enactor::Person`"),
        ('resource.risk_rank < "2"', "saw String"),
        ("resource.risk_rank", "expected Bool but saw Long"),
        ('context.arguments.amount <= "50"', "saw String"),
        ("context.arguments.amount.lessThan(50)", "expected decimal but saw Long"),
        ('context.arguments.amount == 5 || resource.typo == "x"', "attribute `typo`"),
        ("context.arguments has amount && resource.typo", "attribute `typo`"),
        ("!(context.arguments has amount) || resource.typo", "attribute `typo`"),
        ("context.arguments.currency == resource.curency", "attribute `curency`"),
        ("resource.curency != context.arguments.currency", "attribute `curency`"),
        ("context.arguments.tags.contains(resource.typo)", "attribute `typo`"),
        ("resource.typo.contains(context.arguments.tag)", "attribute `typo`"),
        ("resource.account.contains(context.arguments.tag)", "saw String"),
        ('["a"].containsAll(resource.account) || context.arguments.ok', "saw String"),
        ("context.arguments.tags.containsAny(resource.account)", "saw String"),
        ("(if resource.typo then context.arguments.a else 3) > 2", "attribute `typo`"),
        ("(if context.arguments.a then 3 else resource.typo) > 2", "attribute `typo`"),
        ("(if resource.risk_rank then context.arguments.a else 3) > 2", "expected Bool but saw Long"),
        ('[context.arguments.a, resource.typo].contains("x")', "attribute `typo`"),
        ("context.arguments.a + resource.account < 2", "saw String"),
        ("-context.arguments.a < resource.account", "saw String"),
        ('context.arguments.note like "a*" && resource.typo', "attribute `typo`"),
        ("context.arguments.who in principal", "saw String"),
        ("context.arguments.who is Enactor::User", "saw String"),
        ("principal in context.arguments.group", "saw String"),
        ("context.arguments.host.isLoopback()", "expected ipaddr but saw String"),
        ('context.arguments.at < datetime("2030-01-01")', "datetime"),
        ("decimal(resource.account).lessThan(context.arguments.a)", "non-literal"),
        ("context.arguments.a.b.c < resource.account", "saw String"),
        ('context["decimals"].a.lessThan(resource.account)', "saw String"),
        ("{a: context.arguments.a, b: 1}.c == 2 || resource.typo == 3", "attribute `typo`"),
    ],
)
def test_names_and_types_are_checked(condition: str, says: str) -> None:
    """A condition that names what does not exist or has the wrong type is refused, also beside open arguments."""
    error = refusal(f"\n{permit(condition, name='checked').text}")
    assert error.message.startswith('Line 2, policy "checked": ')
    problems = error.details["problems"]
    assert isinstance(problems, list)
    assert any(says in problem["problem"] for problem in problems), problems
    assert {problem["line"] for problem in problems} == {2}


@pytest.mark.parametrize(
    "condition",
    [
        "context.arguments.amount <= context.arguments.limit",
        "context.arguments.urgent",
        "!context.arguments.urgent || context.arguments.ok",
        "context.arguments.a == context.arguments.b && context.arguments.a != 3",
        "context.arguments == {a: 1}",
        '{".": 1} == {".": context.arguments.a} && {unknown: [1]}.unknown == [1]',
        "context.arguments.line == {a: 1, b: [2, 3]}",
        "{a: context.arguments.q, b: 2} == {a: 1, b: 2}",
        '["EUR", "USD"].contains(context.arguments.currency)',
        "context.arguments.tags.containsAny(context.arguments.others)",
        '["a"].containsAll(context.arguments.tags)',
        "context.arguments.tags.contains(context.arguments.tag)",
        "context.arguments.tags.isEmpty()",
        "[context.arguments.a, context.arguments.b].contains(3)",
        '[context.arguments.a, "x"].contains("x")',
        "(if context.arguments.a then context.arguments.b else context.arguments.c) == 3",
        "(if context.arguments has a then context.arguments.a else 3) < 5",
        "(if context.arguments.a then 1 else 2) < 5",
        "-context.arguments.a < 3 && context.arguments.a * context.arguments.b - 2 < context.arguments.c",
        'ip(context.arguments.host).isInRange(ip("10.0.0.0/8"))',
        'datetime(context.arguments.at) < datetime("2030-01-01T00:00:00Z")',
        'duration(context.arguments.wait) <= duration("1h")',
        'decimal(context.arguments.amount).lessThanOrEqual(decimal("50.00"))',
        "context.decimals.a.greaterThan(context.decimals.b)",
        'context.arguments.note like "Test *"',
        "context.arguments has a.b && context.arguments.a.b < 3 && context.arguments.a has c",
        'context has arguments && context["arguments"]["a b"] == 1',
        "resource.account == context.arguments.account && resource.target.id == context.arguments.id",
        'principal in [Enactor::Role::"proposer", Enactor::Role::"auditor"] && context.arguments.by == "x"',
    ],
)
def test_every_use_of_an_argument_that_can_hold_is_accepted(condition: str) -> None:
    """Arguments may have any type that their use allows; no sound policy is refused."""
    ENGINE.check(permit(condition).text)


def test_all_problems_of_a_text_are_listed() -> None:
    """The message is about the first problem; the details list each policy's, in the order of the text."""
    names = [f"p{number}" for number in range(30)]
    error = refusal("\n".join(permit("resource.typo", name=name).text for name in names))
    assert error.message.endswith("(29 more)")
    problems: Any = error.details["problems"]
    assert [problem["policy"] for problem in problems] == names[:20]
    assert [problem["line"] for problem in problems] == list(range(1, 21))


@pytest.mark.parametrize("text", ["", "  \n", "// nothing yet", f"permit ({AUTO_APPROVE});", f"@id permit ({ANY});"])
def test_harmless_texts_are_accepted(text: str) -> None:
    """No policy at all, and one without a name, may be set."""
    ENGINE.check(text)


def test_a_text_that_is_too_long_is_refused() -> None:
    """The limit on the whole text is said, in characters."""
    assert "65536" in refusal("/" * 65_537).message
    ENGINE.check("/" * 65_536)


def test_a_large_text_is_checked_whole() -> None:
    """A thousand policies with bounds are accepted, and one bad one among them is found."""
    lines = [permit(f"context.arguments.a{n} < {n}", scope=ANY, name=f"p{n}").text for n in range(700)]
    ENGINE.check("\n".join(lines))
    lines[500] = permit("resource.typo", name="p500").text
    assert refusal("\n".join(lines)).details["line"] == 501


def nested(levels: int) -> dict[str, str]:
    """Conditions that are `levels` deep, each in another way."""
    return {
        "brackets": "(" * levels + "true" + ")" * levels,
        "sets": "[" * levels + "1" + "]" * levels + " == [1]",
        "records": "{a: " * levels + "1" + "}" * levels + " == {a: 1}",
        "nots": "(!" * levels + "true" + ")" * levels,
        "calls": "context.arguments.a.contains(" * levels + "1" + ")" * levels,
        "ands": "(context.arguments.a && " * levels + "true" + ")" * levels,
        "equals": "(context.arguments.a == " * levels + "1" + ")" * levels,
    }


@pytest.mark.parametrize("shape", nested(0))
def test_deep_nesting_is_refused_before_cedar_sees_it(shape: str) -> None:
    """Text that would overflow the parser's stack, and end the process, is refused with its place."""
    error = refusal(permit(nested(2_000)[shape]).text)
    assert "nested deeper than 20" in error.message


@pytest.mark.parametrize(
    "condition",
    [
        " && ".join(["true"] * 5_000),
        "1" + " + 1" * 5_000 + " < 2",
        "context" + ".a" * 5_000,
        "context has a" + ".a" * 5_000,
        "if true then " * 2_000 + "true" + " else true" * 2_000,
        "context" + '["a"]' * 2_000,
    ],
)
def test_endless_chains_are_refused_before_cedar_sees_them(condition: str) -> None:
    """Chains recurse as brackets do."""
    error = refusal(permit(condition).text)
    assert "more than 200 operators" in error.message


def test_a_chain_of_bounds_may_be_long() -> None:
    """Fifty alternatives are no nesting; arithmetic forty deep is, and is refused rather than risked."""
    ENGINE.check(permit(" || ".join(f"context.arguments.a == {n}" for n in range(50))).text)
    error = refusal(permit("context.arguments.a" + " + 1" * 40 + " < 2").text)
    assert "nested too deeply to be checked" in error.message


def test_whatever_the_limits_let_through_fits_a_small_stack() -> None:
    """On a thread with 512 KiB of stack the worst accepted texts are checked and evaluated without a crash."""
    program = """
import threading
from enactor.domain.errors import InvalidPolicy
from enactor.policies.cedar import CedarPolicyEngine
from tests.policies.asking import permit, question
from tests.policies.test_checking import nested

def run():
    engine = CedarPolicyEngine()
    for level, pad in ((19, 170), (19, 0), (15, 100)):
        for shape in nested(level).values():
            for chain in (" && true", " + 1", ".a"):
                for condition in (f"{shape} && 1{chain * pad} == 1", shape.replace("true", "true" + chain * pad)):
                    text = permit(condition).text
                    try:
                        engine.check(text)
                    except InvalidPolicy:
                        pass
                    engine.ask(question(arguments={"a": 1}), permit(condition))
    print("survived")

threading.stack_size(512 * 1024)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=100)
    assert done.stdout == "survived\n", done.stderr

"""Policy test files."""

import pytest

from enactor.domain.action_type import RiskClass
from enactor.domain.errors import InvalidPolicy
from enactor.domain.policy import PolicyAction, PolicyQuestion
from enactor.policies.cases import InvalidCases, load_cases, load_question, run_cases
from enactor.policies.cedar import CedarPolicyEngine
from tests.policies.asking import permit

ENGINE = CedarPolicyEngine()
SMALL = permit("context.arguments.amount <= 50", name="small").text


def case(expect: str, amount: str, reasons: str = "") -> str:
    """One case about auto-approving an amount."""
    return f"""
    [[cases]]
    name = 'case {amount}'
    expect = "{expect}"
    {f"reasons = {reasons}" if reasons else ""}
    question.action = "auto_approve"
    question.action_type = "REFUND_PAYMENT"
    question.risk_class = "LOW"
    question.arguments.amount = {amount}
    """


def problems(text: str) -> list[str]:
    """What differs, case by case."""
    return [result.problem for result in run_cases(ENGINE, SMALL, load_cases(text))]


def test_a_case_passes_when_the_answer_is_the_wanted_one() -> None:
    """Permit and forbid are both checked, and reasons where they are given."""
    text = case("permit", "50", '["small"]') + case("forbid", "51", "[]") + case("permit", "49")
    results = run_cases(ENGINE, SMALL, load_cases(text))
    assert [result.passed for result in results] == [True, True, True]
    assert [result.case.name for result in results] == ["case 50", "case 51", "case 49"]
    assert results[0].answer.reasons == ("small",)


def test_a_case_fails_with_what_was_wanted_and_why_it_is_otherwise() -> None:
    """A wrong answer, a wrong reason and an evaluation error each say so."""
    text = case("permit", "51") + case("forbid", "5") + case("permit", "5", '["other"]') + case("permit", '"5"')
    assert problems(text) == [
        "wanted permit, got forbid (no policy applies)",
        "wanted forbid, got permit (small)",
        "wanted permit because of other, got it because of small",
        "wanted permit, got forbid (small: type error: expected long, got string)",
    ]


def test_the_policies_are_checked_before_any_case_runs() -> None:
    """A text that cannot be set cannot be tested either."""
    with pytest.raises(InvalidPolicy):
        run_cases(ENGINE, "permit", load_cases(case("permit", "1")))


def test_a_question_carries_every_field() -> None:
    """What a file says of a question reaches the engine, under the schema's names."""
    loaded = load_question("""
    action = "switch"
    tenant = "t"
    account = "a"
    action_type = "X"
    intent = "ai_1"
    connector = "c"
    risk_class = "MEDIUM"
    scope = "tenant:t"
    [principal]
    id = "https://id.example#alice"
    kind = "user"
    roles = ["operator", "auditor"]
    [target]
    type = "payment"
    id = "pay_1"
    [arguments]
    amount = 1.5
    """)
    assert loaded == PolicyQuestion(
        action=PolicyAction.SWITCH,
        tenant_id="t",
        principal_id="https://id.example#alice",
        principal_human=True,
        principal_roles=("operator", "auditor"),
        account_id="a",
        action_type="X",
        action_intent_id="ai_1",
        connector_id="c",
        risk_class=RiskClass.MEDIUM,
        target_type="payment",
        target_id="pay_1",
        scope="tenant:t",
        arguments={"amount": 1.5},
    )


def test_what_is_left_out_is_the_strictest() -> None:
    """A question that names its action only is a program's without roles, about HIGH risk."""
    loaded = load_question('action = "approve"')
    assert (loaded.principal_human, loaded.principal_roles, loaded.risk_class) == (False, (), RiskClass.HIGH)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cases"),
        ("cases = []", "no case"),
        ("[[cases]", "not TOML"),
        ('[[cases]]\nname = "x"\nexpect = "permit"', "question"),
        (case("allow", "1"), "$.cases[0].expect"),
        (case("permit", "1") + "question.acount = 'x'", "acount"),
        (case("permit", "1") + "question.principal.roles = ['aprover']", "aprover"),
        (case("permit", "1") + "extra = 1", "extra"),
        (case("permit", "2020-01-01"), 'case "case 2020-01-01", arguments are not JSON'),
        (case("permit", "nan"), "arguments are not JSON"),
        ("a = " + "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_of_another_form_is_refused(text: str, says: str) -> None:
    """Misspelt fields, wrong values and broken TOML are typed errors that say where."""
    with pytest.raises(InvalidCases) as caught:
        load_cases(text)
    assert says in caught.value.message
    assert caught.value.error_code == "INVALID_POLICY_CASES"

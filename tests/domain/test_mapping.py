"""Parameters to tool arguments: the four transforms, and what is refused."""

from typing import Any

import pytest

from enactor.conformance.builders import Builder
from enactor.domain.action_type import ActionType, ParameterMapping, Transform
from enactor.domain.errors import ConfigurationError, InvalidParameters
from enactor.domain.mapping import is_secret_reference, map_parameters, render, template_fields

FUNCTIONS = {"cents": lambda value: round(float(value) * 100), "first": lambda value: value["first"]}


def entry(*mapping: ParameterMapping) -> ActionType:
    """An action type with this mapping."""
    return Builder().action_type(parameter_mapping=mapping)


ALL_FOUR = entry(
    ParameterMapping(param="title", tool_param="subject", required=True),
    ParameterMapping(param="country", tool_param="country_code", transform=Transform.UPPERCASE),
    ParameterMapping(param="mail", tool_param="address", transform=Transform.LOWERCASE),
    ParameterMapping(param="amount", tool_param="cents", transform=Transform.CUSTOM, function="cents"),
)


def test_the_four_transforms() -> None:
    """Each parameter goes through its own, under the tool's name for it."""
    given = {"title": "As Is", "country": "de", "mail": "Ana@Example", "amount": "12.5"}
    assert map_parameters(ALL_FOUR, given, FUNCTIONS) == {
        "subject": "As Is",
        "country_code": "DE",
        "address": "ana@example",
        "cents": 1250,
    }


def test_what_is_optional_may_be_missing() -> None:
    """A missing parameter makes no argument, not an empty one."""
    assert map_parameters(ALL_FOUR, {"title": "x"}, FUNCTIONS) == {"subject": "x"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"title": "x", "unheard_of": 1},
        {"title": "x", "country": 49},
        {"title": "x", "mail": None},
        {"title": "x", "amount": "much"},
        {"title": "x", "amount": None},
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any]) -> None:
    """Missing, unknown, not text, or not accepted by the function: the proposal's fault, and said so."""
    with pytest.raises(InvalidParameters):
        map_parameters(ALL_FOUR, given, FUNCTIONS)


def test_a_function_that_is_not_registered() -> None:
    """That is a mistake of the configuration, not of the proposal."""
    with pytest.raises(ConfigurationError):
        map_parameters(ALL_FOUR, {"title": "x", "amount": "1"}, {})


def test_secrets_pass_as_references() -> None:
    """No transform touches a reference: the secret itself is read last of all."""
    secret = {"$secret": "token"}
    assert map_parameters(ALL_FOUR, {"title": secret, "country": secret, "amount": secret}, FUNCTIONS) == {
        "subject": secret,
        "country_code": secret,
        "cents": secret,
    }


@pytest.mark.parametrize("value", [{"$secret": 1}, {"$secret": "a", "b": 1}, {}, "$secret", None])
def test_what_is_no_reference(value: Any) -> None:
    """Only an object with that one text member is a reference."""
    assert not is_secret_reference(value)


def test_templates() -> None:
    """A sentence shows what is missing as missing, and never a secret."""
    assert render("Pay {amount} to {who} ({x})", {"amount": 5, "who": {"$secret": "n"}}) == "Pay 5 to a secret (-)"
    assert template_fields("Pay {amount} to {who} {not this}") == ("amount", "who")

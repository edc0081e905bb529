"""JSON values in Cedar's form."""

from typing import Any

import pytest

from enactor.domain.errors import InvalidParameters
from enactor.policies.values import cedar_record, cedar_value


def decimal(text: str) -> dict[str, Any]:
    """A decimal in Cedar's JSON format."""
    return {"__extn": {"fn": "decimal", "arg": text}}


def nothing(path: str) -> dict[str, Any]:
    """What stands for a value that Cedar cannot hold."""
    return {"__entity": {"type": "Enactor::Unrepresentable", "id": path}}


@pytest.mark.parametrize(
    ("value", "held", "held_as_decimals"),
    [
        ("text", "text", "text"),
        (True, True, True),
        (False, False, False),
        (0, 0, decimal("0.0000")),
        (-0.0, 0, decimal("0.0000")),
        (7.0, 7, decimal("7.0000")),
        (49.99, decimal("49.9900"), decimal("49.9900")),
        (-0.5, decimal("-0.5000"), decimal("-0.5000")),
        (0.0001, decimal("0.0001"), decimal("0.0001")),
        (0.1 + 0.2, nothing("x"), nothing("x")),
        (0.00001, nothing("x"), nothing("x")),
        (922_337_203_685_477, 922_337_203_685_477, decimal("922337203685477.0000")),
        (922_337_203_685_478, 922_337_203_685_478, nothing("x")),
        (2**63 - 1, 2**63 - 1, nothing("x")),
        (2**63, nothing("x"), nothing("x")),
        (-(2**63), -(2**63), nothing("x")),
        (-(2**63) - 1, nothing("x"), nothing("x")),
        (10**400, nothing("x"), nothing("x")),
        (1e300, nothing("x"), nothing("x")),
        (float("nan"), nothing("x"), nothing("x")),
        (float("inf"), nothing("x"), nothing("x")),
        (None, nothing("x"), nothing("x")),
        (b"bytes", nothing("x"), nothing("x")),
        ([], [], []),
        ((1, "a"), [1, "a"], [decimal("1.0000"), "a"]),
        ([1, None], [1, nothing("x[1]")], [decimal("1.0000"), nothing("x[1]")]),
        ({"a": {"b": None}}, {"a": {"b": nothing("x.a.b")}}, {"a": {"b": nothing("x.a.b")}}),
        ({"$secret": "name"}, {"$secret": "name"}, {"$secret": "name"}),
    ],
)
def test_each_kind_of_value(value: Any, held: Any, held_as_decimals: Any) -> None:
    """Whatever Cedar can hold is held exactly; the rest is there and fits nothing."""
    assert repr(cedar_value(value, "x")) == repr(held)
    assert repr(cedar_value(value, "x", as_decimals=True)) == repr(held_as_decimals)


@pytest.mark.parametrize("name", ["__entity", "__extn", "__expr"])
def test_cedars_own_field_names_are_refused(name: str) -> None:
    """Neither the arguments nor an object inside them can carry a name that Cedar reads as an escape."""
    for fields in ({name: 1}, {"a": [{"b": 1, name: 1}]}):
        with pytest.raises(InvalidParameters):
            cedar_record(fields, "arguments")


def test_endless_nesting_is_refused() -> None:
    """Arguments deeper than canonical JSON allows have no form here either."""
    lists: Any = 1
    objects: Any = 1
    for _ in range(70):
        lists, objects = [lists], {"a": objects}
    for value in (lists, objects):
        with pytest.raises(InvalidParameters):
            cedar_record({"a": value}, "arguments")

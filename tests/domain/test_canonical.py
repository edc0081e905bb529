"""Canonical JSON against the library that RFC 8785 has, and what is not JSON."""

import json
import math
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from enactor.domain.canonical import canonical, digest, own_json, sha256_hex
from enactor.domain.errors import InvalidInput

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
SAFE = st.integers(-(2**53) + 1, 2**53 - 1)
SCALARS = st.none() | st.booleans() | SAFE | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))
PLAIN_KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
OWN = st.recursive(
    st.none() | st.booleans() | SAFE | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN_KEYS, inner, max_size=4),
)


@given(JSON)
def test_the_bytes_are_those_of_the_library(value: Any) -> None:
    """Whichever way is taken, the bytes are RFC 8785's."""
    assert canonical(value) == rfc8785.dumps(value)


@given(OWN)
def test_what_the_program_put_together_has_the_same_form(value: Any) -> None:
    """The shorter way for our own data makes no other bytes."""
    assert own_json(value) == canonical(value) == rfc8785.dumps(value)


@given(OWN)
def test_reading_it_back_and_writing_it_again_changes_nothing(value: Any) -> None:
    """The form is a fixed point, so a digest can be checked from what was stored."""
    assert canonical(json.loads(canonical(value))) == canonical(value)


def test_order_and_spelling() -> None:
    """Keys are sorted by UTF-16 code units, and numbers have one spelling (RFC 8785, section 3.2)."""
    assert canonical({"\u20ac": 1, "\r": 2, "\U0001f600": 3, "1": 4.50, "a": (1e30, 1, -0.0)}) == (
        '{"\\r":2,"1":4.5,"a":[1e+30,1,0],"\u20ac":1,"\U0001f600":3}'.encode()
    )
    assert digest([]) == sha256_hex(b"[]")


def _nested(depth: int, inside: Any) -> Any:
    value = inside
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        {"a": -math.inf},
        2**53,
        [-(2**53)],
        {1: "a"},
        {"a": {None: 1}},
        b"bytes",
        {"a": {"b": object()}},
        "half a pair \ud800",
        {"\udfff": 1},
        _nested(70, "plain"),
        _nested(70, 1.5),
        {"é": _nested(70, 1)},
        _nested(5_000, 1.5),
    ],
    ids=lambda value: str(type(value)),
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    """It is a typed error that says what to write, whatever was wrong and however deep."""
    with pytest.raises(InvalidInput):
        canonical(value)


def test_64_levels_are_deep_enough() -> None:
    """The limit is one for plain values and for all others."""
    assert canonical(_nested(60, "plain")).startswith(b"[[[")
    assert canonical(_nested(60, 1.5)).startswith(b"[[[")

"""Keys: what makes a call the same call, and an effect the same effect."""

import hashlib
import itertools

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from enactor.conformance.builders import Builder
from enactor.domain.action_type import ActionType, ParameterMapping
from enactor.domain.errors import InvalidParameters
from enactor.domain.idempotency import effect_key, idempotency_key
from enactor.domain.ids import intent_id, intent_uuid, is_intent_id, is_name, run_name, uuid7

FIELDS = {
    "tenant_id": "acme",
    "action_intent_id": "ai_1",
    "revision": 1,
    "purpose": "EFFECT",
    "generation": 0,
    "tool_name": "target.order",
    "argument_bytes": '{"item":"tea"}',
}
OTHER = {
    "tenant_id": "acm",
    "action_intent_id": "ai_2",
    "revision": 2,
    "purpose": "COMPENSATION",
    "generation": 1,
    "tool_name": "target.orde",
    "argument_bytes": '{"item":"tea" }',
}


def test_the_key_is_stable() -> None:
    """Retry, recovery and replay compute it anew and get the same: SHA-256 over the specification's array."""
    array = ["enactor/idempotency/v1", *FIELDS.values()]
    assert idempotency_key(**FIELDS) == hashlib.sha256(rfc8785.dumps(array)).hexdigest()
    assert idempotency_key(**FIELDS) == "db8289edb96c5e2acb1f8bb7e93c0fcad1c20dd98aae4480275726446b895d60"


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_makes_another_key(field: str) -> None:
    """Nothing that decides what is called is left out of the key."""
    assert idempotency_key(**FIELDS) != idempotency_key(**{**FIELDS, field: OTHER[field]})


SHIFTED = st.text('ab",[]\\:', max_size=6)


@given(st.lists(SHIFTED, min_size=4, max_size=4), st.integers(0, 3), st.integers(0, 6))
def test_nothing_can_be_shifted_from_one_field_to_the_next(values: list[str], field: int, cut: int) -> None:
    """Moving characters between neighbouring fields, whatever they are, makes another key."""
    names = ["tenant_id", "action_intent_id", "tool_name", "argument_bytes"]
    shifted = list(values)
    if field + 1 < len(values):
        shifted[field], shifted[field + 1] = values[field][:cut], values[field][cut:] + values[field + 1]
    first = idempotency_key(**{**FIELDS, **dict(zip(names, values, strict=True))})
    second = idempotency_key(**{**FIELDS, **dict(zip(names, shifted, strict=True))})
    assert (first == second) == (values == shifted)


def entry(template: str | None) -> ActionType:
    """An action type with an effect key."""
    mapping = tuple(ParameterMapping(param=name, tool_param=name) for name in ("a", "b"))
    return Builder().action_type(effect_key=template, parameter_mapping=mapping)


def test_effect_key_from_its_template() -> None:
    """Text, integers and booleans identify an effect; without a template there is none."""
    assert effect_key(entry("refund:{a}"), {"a": "p1"}) == "refund:p1"
    assert effect_key(entry("refund:{a}:{b}"), {"a": 7, "b": True}) == "refund:7:true"
    assert effect_key(entry(None), {"a": "p1"}) is None


@pytest.mark.parametrize("value", [None, 1.5, [], {}, {"$secret": "name"}])
def test_what_cannot_identify_an_effect_is_refused(value: object) -> None:
    """A missing, secret or compound value is an error of the proposal, not a key."""
    parameters = {"b": "x"} if value is None else {"a": value, "b": "x"}
    with pytest.raises(InvalidParameters):
        effect_key(entry("refund:{a}:{b}"), parameters)


def test_effect_keys_are_escaped() -> None:
    """Two different sets of values never give one key, whatever the values contain."""
    values = ["", "%", ":", "/", "%3A", "a", "a:", ":a", "{b}", "%25"]
    pairs = list(itertools.product(values, values))
    keys = {effect_key(entry("refund:{a}:{b}"), {"a": a, "b": b}) for a, b in pairs}
    assert len(keys) == len(pairs)


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_effect_keys_never_meet(a: str, b: str, c: str, d: str) -> None:
    """The escaping holds for any text."""
    template = entry("x:{a}:{b}")
    same = effect_key(template, {"a": a, "b": b}) == effect_key(template, {"a": c, "b": d})
    assert same == ((a, b) == (c, d))


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_ids_are_uuid7(at: int, drawn: bytes) -> None:
    """Version and variant are RFC 9562's, the time is in front, and an intent id is recognised."""
    made = intent_id(f"{uuid7(at, drawn):032x}")
    assert is_intent_id(made)
    assert intent_uuid(made).version == 7
    assert intent_uuid(made).variant == "specified in RFC 4122"
    assert intent_uuid(made).int >> 80 == at


def test_ids_grow() -> None:
    """Ids made one after the other sort so, within one millisecond too."""
    ids = Builder().ids
    made = [ids.new() for _ in range(500)]
    assert made == sorted(set(made))


def test_the_name_of_a_run() -> None:
    """The first run has the plain name, later ones their number."""
    assert run_name("ai_x", 1) == "exec-ai_x"
    assert run_name("ai_x", 2) == "exec-ai_x-r2"


@pytest.mark.parametrize("text", ["", "_tenant", "_system", "a b", "é", "a" * 65, "a/b", "a:b"])
def test_names_that_are_none(text: str) -> None:
    """An account cannot be called like a chain of the ledger, nor like part of a scope."""
    assert not is_name(text)

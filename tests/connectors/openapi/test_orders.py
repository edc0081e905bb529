"""An API that FastAPI describes, called by what its document and the settings say."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest

from enactor.conformance.clocks import ManualClock
from enactor.conformance.http_server import Asked, Given
from enactor.domain.action_type import RiskClass, WriteMode
from enactor.domain.attempt import RunStatus
from enactor.domain.errors import ErrorClass, InvalidParameters
from enactor.domain.permit import CallResult
from enactor.ports.tools import Reply
from tests.connectors.openapi.orders import Orders
from tests.connectors.openapi.rig import CREATE, IDEMPOTENT, TEA, TOOL, UNDO, Rig, api, connector_of
from tests.connectors.proxy import Proxy
from tests.connectors.rig import KEY, ConnectorRig


async def test_an_approved_order(rig: Rig) -> None:
    """One POST with what was proposed and what is fixed; the order it answers with is the effect."""
    ended = await rig.run(CREATE, TEA)
    assert (ended.status, ended.calls, rig.proxy.writes) == (RunStatus.SUCCEEDED, ["DONE"], ["POST"])
    (order,) = rig.orders.by_id.values()
    assert (order.item, order.quantity, order.customer_id, order.note) == ("tea", 2, "C-17", None)
    assert order.reference == ended.permits[0].idempotency_key
    assert (ended.ref.system, ended.ref.object_id, ended.ref.version) == ("orders", order.order_id, "1")


async def test_what_can_be_proposed(rig: Rig) -> None:
    """The document's schema without what is fixed and without what authenticates; what it refuses is refused then."""
    definition = rig.plane.definition(CREATE)
    assert definition is not None
    assert set(definition.input_schema["properties"]) == {"item", "quantity", "note", "idempotency-key"}
    assert definition.input_schema["required"] == ["item"]
    assert (definition.risk_class, definition.verifies_account) == (RiskClass.MEDIUM, True)
    for wrong, parameter in (
        ({"quantity": 0, "item": "tea"}, "quantity"),
        ({"item": ""}, "item"),
        ({"item": "tea", "customer_id": "C-18"}, "arguments"),
        ({"item": "tea", "idempotency-key": "a\nb"}, "idempotency-key"),
        ({"quantity": 2}, "arguments"),
    ):
        with pytest.raises(InvalidParameters) as refused:
            rig.plane.validate(CREATE, wrong)
        assert refused.value.details["parameter"] == parameter


async def test_a_reply_that_is_lost(rig: Rig) -> None:
    """LOOKUP: the orders are searched by the key; found, and nothing is sent again."""
    rig.proxy.lose_replies_to("POST")
    ended = await rig.run(CREATE, TEA)
    assert (ended.status, ended.calls, rig.proxy.writes) == (RunStatus.SUCCEEDED, ["DONE:LOOKUP_FOUND"], ["POST"])
    assert len(rig.orders.by_id) == 1


async def test_a_reply_that_is_lost_by_one_that_is_idempotent(orders: Orders, proxy: Proxy, clock: ManualClock) -> None:
    """IDEMPOTENT: sent again under the same Idempotency-Key, and there is one order."""
    rig = Rig(orders, proxy, clock, IDEMPOTENT)

    def once(asked: Asked, given: Given) -> Given:
        proxy.after = None
        return Given(hang_up=True)

    proxy.after = once
    ended = await rig.run(CREATE, TEA)
    assert (ended.status, proxy.writes) == (RunStatus.SUCCEEDED, ["POST", "POST"])
    assert [asked.headers["idempotency-key"] for asked in proxy.asked if asked.method == "POST"] == [
        ended.permits[0].idempotency_key
    ] * 2
    assert len(orders.by_id) == 1
    await rig.close()


async def test_an_operation_of_which_nothing_is_known(orders: Orders, proxy: Proxy, clock: ManualClock) -> None:
    """UNSAFE and HIGH unless told otherwise: a lost reply is for a person."""
    rig = Rig(orders, proxy, clock, {"operation": "createOrder", "fixed": {"customer_id": "$account"}})
    definition = rig.plane.definition(CREATE)
    assert definition is not None
    assert (definition.risk_class, definition.write_semantics.mode) == (RiskClass.HIGH, WriteMode.UNSAFE)
    proxy.lose_replies_to("POST")
    ended = await rig.run(CREATE, {**TEA, "reference": "r"})
    assert (ended.status, ended.calls, proxy.writes) == (RunStatus.IN_DOUBT, ["UNKNOWN"], ["POST"])
    await rig.close()


ANSWERS: list[tuple[Given, CallResult, str, ErrorClass]] = [
    (
        Given(status=422, body=b'{"detail":{"code":"sold_out","message":"secret"}}'),
        CallResult.REFUSED,
        "sold_out",
        ErrorClass.VALIDATION,
    ),
    (Given(status=422, body=b"{}"), CallResult.REFUSED, "HTTP_422", ErrorClass.VALIDATION),
    (Given(status=422, body=b'{"detail":{"code":"a b <i>"}}'), CallResult.REFUSED, "HTTP_422", ErrorClass.VALIDATION),
    (Given(status=429, headers={"retry-after": "3"}), CallResult.REFUSED, "HTTP_429", ErrorClass.RATE_LIMIT),
    *(
        (given, CallResult.UNKNOWN, "TOOL_FAILED", ErrorClass.UNKNOWN)
        for given in (
            Given(status=400),
            Given(status=409),
            Given(status=500),
            Given(status=302, headers={"location": "http://127.0.0.1:9/"}),
            Given(status=202, body=b"{}"),
            Given(status=201, body=b"{}"),
            Given(status=201, body=b"not JSON"),
            Given(status=201, body=b'{"order_id":"o-1"}', cut_after=3),
            Given(status=201, body=b'{"order_id":{"a":1}}'),
            Given(hang_up=True),
        )
    ),
]


async def test_how_calls_end(rig: Rig) -> None:
    """Listed statuses refuse, with the code that the settings point at and never the message; all else is UNKNOWN."""
    for given, result, code, error_class in ANSWERS:
        rig.proxy.answer("POST", given)
        rig.proxy.asked.clear()
        reply = await rig.call(CREATE, TEA)
        assert (reply.result, reply.error_code, reply.error_class) == (result, code, error_class), given
        assert rig.proxy.writes == ["POST"]
        assert "secret" not in reply.message
    assert rig.orders.by_id == {}


async def test_a_key_that_is_not_taken(orders: Orders, proxy: Proxy, clock: ManualClock) -> None:
    """401 is a refusal where the settings say so, and leaves it open where they do not."""
    wrong = {"access": {"api_key": {"header": "X-API-Key", "value": "env:WRONG"}}}
    for statuses, result in (([401], CallResult.REFUSED), ([], CallResult.UNKNOWN)):
        rig = Rig(orders, proxy, clock, {**TOOL, "effect_free_statuses": statuses}, server=wrong)
        reply = await rig.call(CREATE, TEA)
        assert (reply.result, reply.retryable) == (result, result is CallResult.UNKNOWN)
        assert "nonsense" not in str(reply)
        await rig.close()


SEARCHES: list[tuple[Any, bool | None]] = [
    ({"items": []}, False),
    ({"items": None}, False),
    ({}, None),
    ([], None),
    ({"items": [{"reference": "another", "order_id": "o-9"}]}, None),
    ({"items": [{"reference": KEY, "order_id": "o-9", "customer_id": "C-17"}]}, True),
    ({"items": {"reference": KEY, "order_id": "o-9", "customer_id": "C-17"}}, True),
    ({"items": [{"reference": KEY, "order_id": "o-9", "customer_id": "C-18"}]}, None),
    ({"items": [{"reference": KEY, "customer_id": "C-17"}]}, None),
    ({"items": [{"reference": KEY, "order_id": "1"}, {"reference": KEY, "order_id": "2"}]}, None),
]


async def test_what_a_search_settles(rig: Rig) -> None:
    """Only one object with our key is found, only an empty result is absent; a status never is, unless configured."""
    for answer, found in SEARCHES:
        rig.proxy.answer("GET", Given(status=200, body=orjson.dumps(answer)))
        assert (await rig.look_up(CREATE, TEA)).found is found, answer
    for given in (Given(status=404), Given(status=500), Given(status=200, body=b"{"), Given(hang_up=True)):
        rig.proxy.answer("GET", given)
        assert (await rig.look_up(CREATE, TEA)).found is None, given


async def test_undo_meets_trouble(rig: Rig) -> None:
    """Changed between the read and the write is UNKNOWN, and the look-up sees that it is there; 404 then is gone."""
    made = await rig.call(CREATE, TEA)
    rig.proxy.answer("DELETE", Given(status=412), Given(status=404))
    assert (await _undo(rig, made)).result is CallResult.UNKNOWN
    assert (await rig.look_up(UNDO, _undoing(made))).found is False
    assert (await _undo(rig, made)).message == "It was gone already."
    for refs in ([], [{"system": "elsewhere", "object_type": "order", "object_id": "o-1"}], [{"system": "orders"}]):
        reply = await rig.call(UNDO, {"original_key": KEY, "refs": refs}, idempotency_key="cd" * 32)
        assert (reply.result, reply.error_code) == (CallResult.REFUSED, "NOTHING_TO_UNDO")
    assert len(rig.orders.by_id) == 1


async def test_an_object_that_is_kept(orders: Orders, proxy: Proxy, clock: ManualClock) -> None:
    """Where what was taken back stays, its state says that it is gone."""
    gone = {"pointer": "/status", "values": ["cancelled"]}
    undo = {**TOOL["undo"], "read": {**TOOL["undo"]["read"], "gone": gone}}
    rig = Rig(orders, proxy, clock, {**TOOL, "undo": undo})
    made = await rig.call(CREATE, TEA)
    (order,) = orders.by_id.values()
    orders.by_id[order.order_id] = order.model_copy(update={"status": "cancelled", "version": 2})
    assert (await rig.look_up(UNDO, _undoing(made))).found is True
    assert ((await _undo(rig, made)).result, proxy.writes) == (CallResult.DONE, ["POST"])
    await rig.close()


async def test_a_document_that_changes(orders: Orders, proxy: Proxy, clock: ManualClock) -> None:
    """What was approved under another document, promise, or server is not what would be called now."""
    before = connector_of(clock, api(proxy.origin, orders.document))
    document = orjson.loads(orjson.dumps(orders.document))
    document["components"]["schemas"]["NewOrder"]["properties"]["quantity"]["maximum"] = 1_000
    hashes = set()
    for settings in (
        api(proxy.origin, orders.document),
        api(proxy.origin, document),
        api(proxy.origin, orders.document, {**TOOL, "effect_free_statuses": [401]}),
        api(proxy.origin, orders.document, {**TOOL, "lookup": {**TOOL["lookup"], "found": "/all"}}),
    ):
        rig = ConnectorRig(connector_of(clock, settings), clock)
        definition = rig.plane.definition(CREATE)
        assert definition is not None
        hashes.add(definition.definition_hash)
        await rig.close()
    assert len(hashes) == 4
    other = connector_of(clock, api("http://127.0.0.1:9", orders.document))
    assert before.configuration_version != other.configuration_version
    assert before.version_for("acme", "north") != other.version_for("acme", "north") != ""
    assert before.version_for("acme", "west") == before.version_for("globex", "north") == ""
    await before.aclose()
    await other.aclose()


async def test_who_is_not_served(rig: Rig) -> None:
    """Another tenant, and an account that nothing stands for: refused, and nothing is asked."""
    for changes in ({"tenant_id": "globex"}, {"account_id": "west"}):
        reply = await rig.call(CREATE, TEA, **changes)
        assert (reply.result, reply.error_code) == (CallResult.REFUSED, "ACCOUNT_NOT_MAPPED")
    assert rig.proxy.asked == []


async def test_every_account_as_itself(orders: Orders, proxy: Proxy, clock: ManualClock) -> None:
    """Without a table of accounts, each one's own id goes where `$account` is."""
    rig = Rig(orders, proxy, clock, server={"accounts": None})
    assert (await rig.call(CREATE, TEA, account_id="west")).result is CallResult.DONE
    assert [order.customer_id for order in orders.by_id.values()] == ["west"]
    await rig.close()


async def test_the_doctor(rig: Rig, orders: Orders, clock: ManualClock) -> None:
    """The document's tools, and whether the server answers."""
    checks = await rig.connector.doctor()
    assert [check.good for check in checks] == [True, True]
    closed = connector_of(clock, api("http://127.0.0.1:9", orders.document))
    (_, check) = await closed.doctor()
    assert (check.good, bool(check.advice)) == (False, True)
    await closed.aclose()


def _undoing(made: Reply, key: str = KEY) -> dict[str, Any]:
    return {"original_key": key, "refs": msgspec.to_builtins(made.refs)}


async def _undo(rig: Rig, made: Reply) -> Reply:
    return await rig.call(UNDO, _undoing(made), idempotency_key="cd" * 32)

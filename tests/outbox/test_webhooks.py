"""One delivery: what leaves, how it is signed, and what each answer means."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from enactor.domain.errors import ConfigurationError
from enactor.domain.ledger import LedgerEntry, LedgerEvent
from enactor.gateway.egress import EgressRules, GuardedTransport
from enactor.outbox.webhooks import Answer, Delivery, WebhookSender, WebhookTarget, signing_keys, webhook_id
from tests.outbox.receiver import OK, Receiver, Reply
from tests.outbox.rig import OTHER_SECRET, SECRET, Rig, eventually, hook

CANARY = "canary-4111-1111"


async def the_entry(rig: Rig, **entry: object) -> LedgerEntry:
    """An entry as the store placed it."""
    await rig.write(1, **entry)
    return (await rig.store.entries_after(await rig.store.last_position() - 1, 1))[0]


async def deliver(rig: Rig, receiver: Receiver, **target: object) -> Delivery:
    """One delivery of a new entry."""
    sender = rig.sender()
    try:
        return await sender.send(hook(receiver.url, **target), await the_entry(rig))
    finally:
        await sender.close()


async def test_what_leaves_is_a_cloud_event_in_structured_mode(rig: Rig, receiver: Receiver) -> None:
    """A delivery is one POST whose body is the whole CloudEvent and whose id is the entry's."""
    sender = rig.sender()
    entry = await the_entry(rig)
    delivery = await sender.send(hook(receiver.url), entry)
    await sender.close()
    assert delivery == Delivery(Answer.DELIVERED)
    (request,) = receiver.received
    assert (request.method, request.path) == ("POST", "/hook")
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.id == request.event["id"] == entry.entry_id
    assert request.event["specversion"] == "1.0"
    assert request.event["type"] == "enactor.action_executed"
    assert request.event["source"] == "enactor/acme"
    assert request.event["data"]["action_intent_id"] == entry.action_intent_id


async def test_receivers_verify_the_signature_with_the_standard_library(rig: Rig, receiver: Receiver) -> None:
    """The signature verifies with the secret, and neither with another one nor over another body."""
    assert (await deliver(rig, receiver)).answer is Answer.DELIVERED
    (request,) = receiver.received
    request.verify(SECRET)
    with pytest.raises(WebhookVerificationError):
        request.verify(OTHER_SECRET)
    request.__dict__["body"] = request.body.replace(b"acme", b"evil")
    with pytest.raises(WebhookVerificationError):
        request.verify(SECRET)


async def test_while_secrets_rotate_either_verifies(rig: Rig, receiver: Receiver) -> None:
    """With two secrets in force there are two signatures, so that a receiver may change its own at any time."""
    assert (await deliver(rig, receiver, secret="both")).answer is Answer.DELIVERED
    (request,) = receiver.received
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    request.verify(SECRET)
    request.verify(OTHER_SECRET)


async def test_a_later_attempt_is_signed_with_its_own_time(rig: Rig, receiver: Receiver) -> None:
    """The timestamp is the attempt's, not the event's, or receivers would take late attempts for replays."""
    sender = rig.sender()
    entry = await the_entry(rig)
    await sender.send(hook(receiver.url), entry)
    rig.clock.advance(60)
    await sender.send(hook(receiver.url), entry)
    await sender.close()
    first, second = receiver.received
    assert first.id == second.id
    assert int(second.headers["webhook-timestamp"]) == int(first.headers["webhook-timestamp"]) + 60
    second.verify(SECRET)


@pytest.mark.parametrize("event", list(LedgerEvent))
async def test_nothing_of_an_entrys_data_leaves(rig: Rig, receiver: Receiver, event: LedgerEvent) -> None:
    """Whatever the event, its body carries ids and no parameter, result, reason, person, salt or hash."""
    sender = rig.sender()
    entry = await the_entry(rig, event=event, data={"parameters": {"iban": CANARY}, CANARY: [CANARY]})
    assert (await sender.send(hook(receiver.url), entry)).answer is Answer.DELIVERED
    await sender.close()
    (request,) = receiver.received
    sent = request.body.decode() + str(request.headers)
    assert CANARY in entry.data
    for secret in (CANARY, entry.actor, entry.salt, entry.data_commitment, entry.hash, entry.prev_hash):
        assert secret not in sent
    signals = (LedgerEvent.ACTION_EXECUTED, LedgerEvent.ACTION_FAILED)
    signal = {"signal_id", "dedupe_key", "outcome_revision"} if event in signals else set()
    assert set(request.event["data"]) == {
        *("event_type", "tenant_id", "account_id", "action_intent_id", "run_number", "trace_id", "sequence"),
        *signal,
    }


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_delivered(rig: Rig, receiver: Receiver, status: int) -> None:
    """Any success is an acknowledgement, with or without a body."""
    receiver.respond = lambda _: Reply(status, body=b"" if status == 204 else b"thanks")
    assert await deliver(rig, receiver) == Delivery(Answer.DELIVERED)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500, 502, 504])
async def test_other_statuses_are_failures(rig: Rig, receiver: Receiver, status: int) -> None:
    """Everything else is a failure to be tried again, told by its status and without a word of the receiver's."""
    receiver.respond = lambda _: Reply(status, {"x-note": CANARY, "retry-after": "7"}, body=CANARY.encode())
    assert await deliver(rig, receiver) == Delivery(Answer.FAILED, f"The receiver answered {status}.")


async def test_410_says_that_the_receiver_is_gone(rig: Rig, receiver: Receiver) -> None:
    """410 is the receiver's way to ask for nothing more (Standard Webhooks)."""
    receiver.respond = lambda _: Reply(410)
    assert (await deliver(rig, receiver)).answer is Answer.GONE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(rig: Rig, receiver: Receiver, status: int) -> None:
    """A redirect is a failure; the place it names is not called."""
    async with Receiver() as elsewhere:
        receiver.respond = lambda _: Reply(status, {"location": elsewhere.url})
        delivery = await deliver(rig, receiver)
    assert delivery == Delivery(Answer.FAILED, f"The receiver answered {status}. Redirects are not followed.")
    assert elsewhere.connections == 0


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("value", "seconds"), [("120", 120), ("", 0), ("soon", 0), ("-5", 0), ("1e9", 0), ("²", 0)])
async def test_retry_after_in_seconds(rig: Rig, receiver: Receiver, status: int, value: str, seconds: float) -> None:
    """429 and 503 may ask for a pause in seconds; nonsense asks for nothing."""
    raw = f"HTTP/1.1 {status} Busy\r\ncontent-length: 0\r\nretry-after: {value}\r\n\r\n".encode()
    receiver.respond = lambda _: Reply(raw=raw)
    assert await deliver(rig, receiver) == Delivery(Answer.FAILED, f"The receiver answered {status}.", seconds)


@pytest.mark.parametrize(("ahead", "seconds"), [(90, 90), (-90, 0)])
async def test_retry_after_as_a_date(rig: Rig, receiver: Receiver, ahead: int, seconds: float) -> None:
    """The pause may be given as a date; one that is past asks for nothing."""
    second = rig.clock.now_ms() // 1000
    rig.clock.jump(second - rig.clock.now_ms() / 1000)
    date = format_datetime(datetime.fromtimestamp(second + ahead, UTC), usegmt=True)
    receiver.respond = lambda _: Reply(429, {"retry-after": date})
    assert (await deliver(rig, receiver)).retry_after == pytest.approx(seconds)


async def test_a_receiver_that_hangs_runs_out_of_time(rig: Rig, receiver: Receiver) -> None:
    """No answer within the time limit of the injected clock is a failure, and the connection is given up."""
    receiver.respond = lambda _: Reply(hold=asyncio.Event())
    delivering = asyncio.create_task(deliver(rig, receiver))
    await receiver.until(1)
    rig.clock.advance(14.9)
    await eventually(lambda: rig.clock.asleep == 1)
    assert not delivering.done()
    rig.clock.advance(0.2)
    assert await delivering == Delivery(Answer.FAILED, "No answer within 15 seconds.")
    assert rig.clock.asleep == 0


async def test_a_receiver_that_drips_its_headers_runs_out_of_time(rig: Rig, receiver: Receiver) -> None:
    """The limit is on the whole delivery: a few bytes now and then do not extend it."""
    receiver.respond = lambda _: Reply(raw=b"HTTP/1.1 200 OK\r\nx-")
    delivering = asyncio.create_task(deliver(rig, receiver))
    await receiver.until(1)
    rig.clock.advance(16)
    assert (await delivering).error == "No answer within 15 seconds."


async def test_an_acknowledgement_whose_body_never_ends_is_one(rig: Rig, receiver: Receiver) -> None:
    """Once a 2xx status is there the event was taken, whatever becomes of the body."""
    receiver.respond = lambda _: Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
    delivering = asyncio.create_task(deliver(rig, receiver))
    await receiver.until(1)
    await eventually(lambda: rig.clock.asleep == 1)
    for _ in range(100):
        await asyncio.sleep(0)
    rig.clock.advance(16)
    assert await delivering == Delivery(Answer.DELIVERED)


async def test_a_large_answer_is_not_read(rig: Rig, receiver: Receiver) -> None:
    """Only the first kilobytes of an answer are taken off the wire."""
    length = 256 * 1024 * 1024
    receiver.respond = lambda _: Reply(
        raw=f"HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n".encode() + b"x" * 65_536
    )
    assert await deliver(rig, receiver) == Delivery(Answer.DELIVERED)


@pytest.mark.parametrize(
    "reply",
    [Reply(close=True), Reply(raw=b"SSH-2.0-x\r\n\r\n"), Reply(raw=b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000)],
    ids=["hangs up", "is no HTTP", "endless headers"],
)
async def test_a_broken_answer_is_a_failure(rig: Rig, receiver: Receiver, reply: Reply) -> None:
    """A receiver that breaks off or talks nonsense has acknowledged nothing."""
    receiver.respond = lambda _: reply
    expected = Delivery(Answer.FAILED, "The connection broke before there was an answer.")
    assert await deliver(rig, receiver) == expected


async def test_a_closed_port_is_a_failure(rig: Rig) -> None:
    """A receiver that is not there is a failure that says so."""
    async with Receiver() as receiver:
        pass
    assert await deliver(rig, receiver) == Delivery(Answer.FAILED, "No connection came about.")


async def test_connections_are_used_again_and_cookies_are_not(rig: Rig, receiver: Receiver) -> None:
    """Deliveries to one receiver share a connection, but nothing a receiver sets comes back to it."""
    receiver.respond = lambda _: Reply(200, {"set-cookie": "a=b; Path=/"}, b"ok")
    sender = rig.sender()
    for _ in range(3):
        await sender.send(hook(receiver.url), await the_entry(rig))
    await sender.close()
    assert receiver.connections == 1
    assert not any("cookie" in request.headers for request in receiver.received)


async def test_the_environment_changes_nothing(
    rig: Rig, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """Neither proxies nor credentials from the environment touch a delivery."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (netrc := tmp_path / "netrc").write_text(f"machine 127.0.0.1 login ana password {CANARY}\n")  # type: ignore[operator]
    monkeypatch.setenv("NETRC", str(netrc))
    assert (await deliver(rig, receiver)).answer is Answer.DELIVERED
    assert "authorization" not in receiver.received[0].headers


async def test_urls_and_secrets_are_not_logged(rig: Rig, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """A URL's path and query may be a credential: no logger tells them, and none tells a secret."""
    caplog.set_level(logging.DEBUG)
    sender = rig.sender()
    await sender.send(hook(f"{receiver.url}/{CANARY}?key={CANARY}"), await the_entry(rig))
    await sender.close()
    assert CANARY in receiver.received[0].path
    logged = "\n".join(str(record.__dict__) for record in caplog.records)
    assert CANARY not in logged
    assert SECRET not in logged


async def test_what_may_not_be_called_is_not_called(rig: Rig, receiver: Receiver) -> None:
    """Outside development loopback is refused: the failure says so and nothing is sent."""
    transport = GuardedTransport(EgressRules(), rig.clock)
    sender = WebhookSender(transport, rig.clock, read_secret=lambda _: SECRET)
    url = f"https://127.0.0.1:{receiver.port}/"
    delivery = await sender.send(hook(url), await the_entry(rig))
    await sender.close()
    assert delivery.answer is Answer.FAILED
    assert "private or special address" in delivery.error
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "value", ["", " ", f"plain-{CANARY}", "whsec_", f"whsec_{CANARY}!", "whsec_c2hvcnQ=", f"{SECRET} whsec_{CANARY}"]
)
async def test_a_secret_that_is_none_signs_nothing(rig: Rig, receiver: Receiver, value: str) -> None:
    """Without a proper secret nothing leaves, and the failure names the webhook and not the value."""
    rig.secrets["one"] = value
    delivery = await deliver(rig, receiver)
    assert delivery.answer is Answer.FAILED
    assert delivery.error.startswith("The secret of webhook hook-acme: ")
    assert CANARY not in delivery.error
    assert "c2hvcnQ" not in delivery.error
    assert receiver.connections == 0


def test_keys_come_from_secrets() -> None:
    """Every secret in a value is one key, in its order."""
    assert len(signing_keys(f"  {SECRET}\n{OTHER_SECRET}\n", "it")) == 2


async def test_a_secret_that_cannot_be_read_is_a_failure(rig: Rig, receiver: Receiver) -> None:
    """Trouble with the place of a secret is a failure like any other, to be tried again."""

    def unreadable(_: WebhookTarget) -> str:
        raise ConfigurationError("The variable HOOK_SECRET is not set.")

    sender = WebhookSender(rig.sender()._transport, rig.clock, read_secret=unreadable)
    delivery = await sender.send(hook(receiver.url), await the_entry(rig))
    await sender.close()
    assert delivery == Delivery(Answer.FAILED, "The variable HOOK_SECRET is not set.")


async def test_a_delivery_that_is_cancelled_lets_go(rig: Rig, receiver: Receiver) -> None:
    """A cancelled delivery leaves neither a connection nor a timer behind."""
    receiver.respond = lambda _: Reply(hold=asyncio.Event())
    delivering = asyncio.create_task(deliver(rig, receiver))
    await receiver.until(1)
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    assert rig.clock.asleep == 0
    receiver.respond = lambda _: OK


def test_ids_are_made_from_tenant_and_url() -> None:
    """A webhook configured without an id keeps the same one, and no two share one."""
    made = {
        webhook_id(tenant, url) for tenant in ("", "a", "b") for url in ("https://x.example/1", "https://x.example/2")
    }
    assert len(made) == 6
    assert webhook_id("a", "https://x.example/1") in made
    hook("https://x.example", id=webhook_id("", ""))


@pytest.mark.parametrize("bad", ["", "a:b", "a b", "é", "x" * 65])
def test_an_id_must_be_plain(bad: str) -> None:
    """An id becomes part of the names of cursors, so it is plain."""
    with pytest.raises(ConfigurationError):
        hook("https://x.example", id=bad)


@pytest.mark.parametrize("bad", ["https://[::1", "https://1.2.3.400/", "https://x.example:port/"])
def test_a_url_must_be_one(bad: str) -> None:
    """A URL that cannot be read is refused when it is configured, not at the first event."""
    with pytest.raises(ConfigurationError, match="URL of webhook hook-acme"):
        hook(bad)

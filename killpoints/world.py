"""The outside world: an HTTP server in a process of its own that makes effects, counts them, and misbehaves as told.

    POST /effects  {"order": o}            makes the effect of order o, under the header Idempotency-Key
    GET  /effects?order=o&key=k            what stands of what the key has made; 404 when there is no look-up
    GET  /targets/{order}                  what an order would change, as a preview reads it
    POST /effects/{id}/undo                takes an effect back, under the header Idempotency-Key
    PUT  /orders   {o: plan, ...}          how the world treats each order; see `Plan`
    PUT  /passed   {o: seconds, ...}       lets so much time pass for what an order's keys have made
    GET  /arrived?prefix=p&count=n         answers when so many requests for orders of a prefix have arrived
    GET  /orders?prefix=p                  what it has seen of each order, once everything that lands late has landed

A caller may name each of its calls in the header Call-Name; the name is noted with the request, and changes nothing. It
may say in the body when it sent it, on the machine's own monotonic clock (`sent_at`). Then the world keeps its promises
from that instant on, however late the machine lets it read the request: what lands late lands `LATE_SECONDS` after it
was sent, and what has come later than that is dropped undone.

It counts by key and by business content (the order), so a duplicate under another key is seen as one. It remembers in
memory alone: nothing ever kills it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

LATE_SECONDS = 1.5
"""How long after a request was sent its effect lands, when it lands late: after its caller has given up on it."""

DELAY_SECONDS = 0.3
"""How long a delayed reply takes: less than any caller waits."""

BEHAVIOURS = {
    "do": "does it and says so",
    "drop": "does it, then drops the connection instead of replying",
    "late": "does it after the caller has given up and looked",
    "delay": "does it, and replies a little later",
    "500-after": "does it, then answers 500",
    "500-before": "answers 500 without doing it",
    "lose": "drops the connection without doing it",
    "hang": "does it and never replies",
    "busy": "answers 429 without doing it",
    "refused": "answers 422 without doing it, now and ever after",
    "revoked": "answers 401 without doing it, now and ever after",
    "partial": "does half of it and says so",
}
_FOR_EVER = frozenset({"refused", "revoked"})


@dataclass
class Plan:
    """How the world treats one order.

    Attributes:
        effect: what the requests for its effect meet, in turn; after the last one, `do`.
        undo: the same for the requests that take it back.
        keys: for how many seconds an idempotency key is honoured; 0 for not at all.
        undo_keys: whether keys are honoured when an effect is taken back.
        look_up: whether the world can be searched by key.
        burns: a refusal makes its key useless.
        changes: somebody else changes what the order is about, after it was read for the first time.
    """

    effect: deque[str] = field(default_factory=deque)
    undo: deque[str] = field(default_factory=deque)
    keys: float = 0
    undo_keys: bool = False
    look_up: bool = False
    burns: bool = False
    changes: bool = False


@dataclass
class Effect:
    """Something that happened. `undone` counts how many times it was taken back: more than once is wrong too."""

    id: str
    order: str
    key: str
    at: float
    partial: bool = False
    undone: int = 0


@dataclass
class Seen:
    """What the world has seen of one order."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    undo_keys: set[str] = field(default_factory=set)
    burnt: set[str] = field(default_factory=set)
    look_ups: int = 0
    readings: int = 0


class _Request:
    """A request for an effect, or to take one back."""

    def __init__(self, key: str, call: str, body: dict[str, Any]) -> None:
        self.key, self.call = key, call
        self.sent_at = float(body.get("sent_at") or time.monotonic())

    @property
    def stale(self) -> bool:
        """It has come later than anything lands."""
        return time.monotonic() - self.sent_at > LATE_SECONDS


class World:
    """Effects, and who asked for them."""

    def __init__(self, default: Plan) -> None:
        self._default = default
        self.plans: dict[str, Plan] = {}
        self.seen: dict[str, Seen] = {}
        self.arrived: Counter[str] = Counter()
        self.arrival = asyncio.Condition()
        self._late: list[tuple[float, str, Callable[[], None]]] = []
        self._made: dict[str, Effect] = {}

    def plan(self, order: str) -> Plan:
        """The order's plan."""
        return self.plans.get(order, self._default)

    def of(self, order: str) -> Seen:
        """What was seen of an order."""
        return self.seen.setdefault(order, Seen())

    def next_act(self, order: str, purpose: str, request: _Request) -> str:
        """What this request meets; noted with the request."""
        plan, seen = self.plan(order), self.of(order)
        acts = plan.effect if purpose == "effect" else plan.undo
        if request.stale:
            act = "lose"
        elif acts and acts[0] in _FOR_EVER:
            act = acts[0]
        else:
            act = acts.popleft() if acts else "do"
        if request.key in seen.burnt:
            act = "burnt"
        if plan.burns and act in ("busy", "refused"):
            seen.burnt.add(request.key)
        seen.requests.append({"purpose": purpose, "key": request.key, "act": act, "call": request.call})
        return act

    def make(self, order: str, key: str, *, partial: bool = False) -> Effect:
        """Makes an effect, unless the key is honoured and has made one already."""
        plan, seen, now = self.plan(order), self.of(order), time.monotonic()
        for known in seen.effects:
            if plan.keys and known.key == key and now - known.at < plan.keys:
                return known
        made = Effect(id=f"e{len(self._made) + 1}", order=order, key=key, at=now, partial=partial)
        seen.effects.append(made)
        self._made[made.id] = made
        return made

    def take_back(self, effect: Effect, key: str) -> None:
        """Takes an effect back, unless the key is honoured and has done so already."""
        plan, seen = self.plan(effect.order), self.of(effect.order)
        if plan.undo_keys and key in seen.undo_keys:
            return
        seen.undo_keys.add(key)
        effect.undone += 1

    def effect(self, effect_id: str) -> Effect | None:
        """An effect by id."""
        return self._made.get(effect_id)

    def later(self, sent_at: float, order: str, act: Callable[[], None]) -> None:
        """Lets something land late, whether or not anybody still waits for it."""
        self._late.append((sent_at + LATE_SECONDS, order, act))

    def land(self) -> None:
        """Lets everything land that is due: nothing is answered or made before that, however slow it all is."""
        now = time.monotonic()
        due = sorted((late for late in self._late if late[0] <= now), key=lambda late: late[0])
        self._late = [late for late in self._late if late[0] > now]
        for _, _, act in due:
            act()

    async def noticed(self, order: str) -> None:
        """One more request has arrived: for an effect, or a look-up."""
        self.arrived[order] += 1
        async with self.arrival:
            self.arrival.notify_all()

    async def count(self, prefix: str, least: int) -> int:
        """How many requests have arrived for the orders of a prefix, once there are so many."""

        def so_many() -> int:
            return sum(count for order, count in self.arrived.items() if order.startswith(prefix))

        async with self.arrival:
            await self.arrival.wait_for(lambda: so_many() >= least)
        return so_many()

    async def settled(self, prefix: str) -> dict[str, Any]:
        """What was seen of the orders of a prefix, once nothing is in the air any more."""
        if awaited := [at for at, order, _ in self._late if order.startswith(prefix)]:
            await asyncio.sleep(max(awaited) - time.monotonic())
        self.land()
        return {
            order: {
                "requests": seen.requests,
                "effects": [{"id": e.id, "key": e.key, "partial": e.partial, "undone": e.undone} for e in seen.effects],
                "look_ups": seen.look_ups,
                "readings": seen.readings,
            }
            for order, seen in self.seen.items()
            if order.startswith(prefix)
        }


class Server:
    """Speaks HTTP/1.1 over one connection after another, because no HTTP library drops replies on request."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends or is dropped."""
        try:
            while (request := await _read(reader)) is not None:
                method, target, headers, body = request
                answer = await self._answer(method, target, headers, body, reader)
                if answer is None:
                    break
                status, content = answer
                payload = json.dumps(content).encode()
                head = (
                    f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
                )
                writer.write(head.encode() + payload)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, method: str, target: str, headers: dict[str, str], body: Any, reader: asyncio.StreamReader
    ) -> tuple[int, Any] | None:
        """Status and content; None to drop the connection without a reply."""
        world, split = self._world, urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        key, call = headers.get("idempotency-key", ""), headers.get("call-name", "")
        world.land()
        match method, split.path.strip("/").split("/"):
            case "POST", ["effects"]:
                await world.noticed(body["order"])
                return await self._effect(body["order"], _Request(key, call, body), reader)
            case "GET", ["effects"]:
                await world.noticed(query["order"])
                world.of(query["order"]).look_ups += 1
                if not world.plan(query["order"]).look_up:
                    return 404, {"error": "NO_LOOK_UP"}
                made = world.of(query["order"]).effects
                return 200, [{"id": e.id, "partial": e.partial} for e in made if e.key == query["key"] and not e.undone]
            case "POST", ["effects", effect_id, "undo"]:
                effect = world.effect(effect_id)
                if effect is None:
                    return 404, {"error": "NO_SUCH"}
                return await self._undo(effect, _Request(key, call, body), reader)
            case "GET", ["targets", order]:
                seen = world.of(order)
                seen.readings += 1
                changed = world.plan(order).changes and seen.readings > 1
                return 200, {"effects": len(seen.effects), "version": "changed" if changed else "as it was"}
            case "PUT", ["orders"]:
                for order, plan in body.items():
                    world.plans[order] = _plan(plan)
                return 200, len(body)
            case "PUT", ["passed"]:
                for order, seconds in body.items():
                    for effect in world.of(order).effects:
                        effect.at -= seconds
                return 200, len(body)
            case "GET", ["arrived"]:
                return 200, await world.count(query["prefix"], int(query["count"]))
            case "GET", ["orders"]:
                return 200, await world.settled(query.get("prefix", ""))
        return 404, {"error": "NOT_FOUND"}

    async def _effect(self, order: str, request: _Request, reader: asyncio.StreamReader) -> tuple[int, Any] | None:
        world, act = self._world, self._world.next_act(order, "effect", request)
        if act == "late":
            world.later(request.sent_at, order, lambda: world.make(order, request.key))
            return await _until_gone(reader)
        refusal = _REFUSALS.get(act, ...)
        if refusal is not ...:
            return refusal
        made = world.make(order, request.key, partial=act == "partial")
        if act == "hang":
            return await _until_gone(reader)
        return await _reply(act, (207 if made.partial else 201), {"id": made.id, "order": order})

    async def _undo(self, effect: Effect, request: _Request, reader: asyncio.StreamReader) -> tuple[int, Any] | None:
        world, act = self._world, self._world.next_act(effect.order, "undo", request)
        if act == "late":
            world.later(request.sent_at, effect.order, lambda: world.take_back(effect, request.key))
            return await _until_gone(reader)
        refusal = _REFUSALS.get(act, ...)
        if refusal is not ...:
            return refusal
        world.take_back(effect, request.key)
        if act == "hang":
            return await _until_gone(reader)
        return await _reply(act, 200, {"id": f"undo-{effect.id}", "order": effect.order})


_REFUSALS: dict[str, Any] = {
    "500-before": (500, {"error": "INTERNAL"}),
    "lose": None,
    "busy": (429, {"error": "BUSY"}),
    "refused": (422, {"error": "NO_STOCK"}),
    "burnt": (422, {"error": "KEY_BURNT"}),
    "revoked": (401, {"error": "REVOKED"}),
}


async def _reply(act: str, status: int, content: Any) -> tuple[int, Any] | None:
    if act == "drop":
        return None
    if act == "500-after":
        return 500, {"error": "INTERNAL"}
    if act == "delay":
        await asyncio.sleep(DELAY_SECONDS)
    return status, content


async def _until_gone(reader: asyncio.StreamReader) -> None:
    """Says nothing until the caller has given up."""
    await reader.read()


async def _read(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], Any] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return method, target, headers, json.loads(body) if body else None


def _plan(given: dict[str, Any]) -> Plan:
    lists = {name: deque(given.get(name, ())) for name in ("effect", "undo")}
    return Plan(**{**given, **lists})


async def _main(default: Plan) -> None:
    server = await asyncio.start_server(Server(World(default)).serve, "127.0.0.1", 0, limit=1 << 20, backlog=512)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    # Whoever started it closes its standard input, or dies, and with that it ends.
    stdin = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    await stdin.read()
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--default", default="{}", help="the plan, as JSON, of orders that have none of their own")
    asyncio.run(_main(_plan(json.loads(parser.parse_args().default))))

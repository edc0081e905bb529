"""Live events: the ledger's entries as CloudEvents over server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from enactor.domain.errors import InvalidInput, Unavailable
from enactor.domain.event import cloud_event
from enactor.domain.ledger import LedgerEntry
from enactor.domain.principal import Permission, Principal
from enactor.http.answers import encode
from enactor.http.auth import Session
from enactor.http.context import Authenticated, Deps, HttpDeps, trace_id_of
from enactor.http.openapi import READING, Answer, described, header
from enactor.http.problems import TooManyStreams, problem_response

router = APIRouter(tags=["Events"])

MEDIA_TYPE: Final = "text/event-stream"
_PAGE: Final = 200
_REMEMBERED_INTENTS: Final = 10_000
_NEWEST: Final = 2**63 - 1
_RETRY: Final = b"retry: 2000\n\n"
_HEARTBEAT: Final = b": still here\n\n"

LastEventId = Annotated[
    str | None,
    Query(pattern="^[0-9]{1,19}$", description="As the header `Last-Event-ID`, for clients that cannot set one."),
]
_LAST_EVENT_ID: Final = header(
    "Last-Event-ID",
    "The `id` of the last event received; the stream goes on after it.",
    schema={"type": "string", "pattern": "^[0-9]{1,19}$"},
)
_STREAM: Final = {200: Answer(description="CloudEvents, as they happen.", media_type=MEDIA_TYPE)}


@router.get(
    "/v1/events",
    summary="Follow events",
    **described(_STREAM, (*READING, 429), parameters=(_LAST_EVENT_ID,)),
)
async def follow_all(
    request: Request, deps: Deps, session: Authenticated, last_event_id: LastEventId = None
) -> Response:
    """Events of everything the token reaches, from now on or after `Last-Event-ID`; a proposer's own intents' only."""
    session.principal.require(Permission.READ, Permission.READ_OWN)
    newest = await deps.store.last_position()
    resumed = _position(request, last_event_id, newest)
    return EventStream(deps, session, trace_id_of(request), newest if resumed is None else resumed)


@router.get(
    "/v1/executions/{action_intent_id}/events",
    summary="Follow an execution",
    **described(_STREAM, (*READING, 404, 429), parameters=(_LAST_EVENT_ID,)),
)
async def follow_one(
    action_intent_id: str, request: Request, deps: Deps, session: Authenticated, last_event_id: LastEventId = None
) -> Response:
    """Events of one intent from its proposal on, or after `Last-Event-ID`. The stream outlives the outcome."""
    await deps.service.inspection.intent(session.principal, action_intent_id)
    resumed = _position(request, last_event_id, await deps.store.last_position())
    return EventStream(deps, session, trace_id_of(request), resumed or 0, action_intent_id)


def _position(request: Request, query: str | None, newest: int) -> int | None:
    given = request.headers.get("last-event-id", query)
    if not given:
        return None
    position = int(given) if given.isascii() and given.isdigit() and len(given) <= len(str(_NEWEST)) else -1
    if not 0 <= position <= newest:
        raise InvalidInput("Last-Event-ID is not the id of an event that was sent here; follow without it.")
    return position


class EventStream(Response):
    """The response that goes on until the client leaves, the token expires or the server stops.

    Args:
        position: the position after which entries are sent; event ids are positions.
        action_intent_id: the one intent that is followed, which the caller may see; None follows everything.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self, deps: HttpDeps, session: Session, trace_id: str, position: int, action_intent_id: str | None = None
    ) -> None:
        super().__init__(headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._deps = deps
        self._session = session
        self._by = session.principal
        self._trace_id = trace_id
        self._position = position
        self._action_intent_id = action_intent_id
        self._own: OrderedDict[str, bool] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream, or a problem document when there are too many."""
        streams = self._deps.streams
        if not streams.enter(self._by):
            error = (
                Unavailable("The server is stopping; follow again shortly.")
                if streams.draining.is_set()
                else TooManyStreams("You follow too many event streams, or everybody together does; end one first.")
            )
            await problem_response(error, self._trace_id)(scope, receive, send)
            return
        left = asyncio.ensure_future(_left(receive))
        drained = asyncio.ensure_future(streams.draining.wait())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": _RETRY, "more_body": True})
            await self._follow(send, left, drained)
            if not left.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            streams.leave(self._by)
            left.cancel()
            drained.cancel()
            await asyncio.gather(left, drained, return_exceptions=True)

    async def _follow(self, send: Send, *ends: asyncio.Future[Any]) -> None:
        store = self._deps.store
        while not any(end.done() for end in ends) and self._goes_on():
            newest = await store.last_position()
            tenant_id, intent = self._by.tenant_id, self._action_intent_id
            entries = await store.entries_after(self._position, _PAGE, tenant_id=tenant_id, action_intent_id=intent)
            body = b"".join([_event(entry) for entry in entries if await self._sees(entry)])
            if entries:
                self._position = entries[-1].position
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
            if len(entries) == _PAGE:
                continue
            # Entries of others move the store on too; waiting beyond our own last one would not be waiting.
            seconds = self._deps.streams.heartbeat_seconds
            beyond = max(newest, self._position)
            news: asyncio.Future[Any] = asyncio.ensure_future(store.wait_beyond(beyond, seconds))
            try:
                await asyncio.wait((news, *ends), return_when=asyncio.FIRST_COMPLETED)
                if news.done() and not news.result():
                    await send({"type": "http.response.body", "body": _HEARTBEAT, "more_body": True})
            finally:
                news.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await news

    def _goes_on(self) -> bool:
        return self._deps.engine.info().accepting and self._deps.clock.now_ms() < self._session.expires_at

    async def _sees(self, entry: LedgerEntry) -> bool:
        """Whether the principal may see the entry; by its tenant it may."""
        if self._action_intent_id is not None:
            return True
        if not self._by.reaches(entry.account_id):
            return False
        return self._by.may(Permission.READ) or await self._is_own(entry.action_intent_id, self._by)

    async def _is_own(self, action_intent_id: str, by: Principal) -> bool:
        if not action_intent_id:
            return False
        known = self._own.get(action_intent_id)
        if known is None:
            intent = await self._deps.store.intent(by.tenant_id, action_intent_id)
            known = intent is not None and (intent.proposed_by == by.ref or by.ref in intent.contributors)
            self._own[action_intent_id] = known
            if len(self._own) > _REMEMBERED_INTENTS:
                self._own.popitem(last=False)
        return known


def _event(entry: LedgerEntry) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (entry.position, encode(cloud_event(entry)))


async def _left(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass

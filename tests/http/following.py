"""Following an event stream without a network: httpx's ASGI transport waits for the end, which a stream has not."""

import asyncio
import json
from types import TracebackType
from typing import Any, Self

from tests.http.world import World


class Following:
    """One request for a stream, as an ASGI server makes it. Leaving the context is the client going away.

    Attributes:
        status: of the response, once `opened` returned.
        headers: of the response, by lower-case name.
    """

    def __init__(
        self, world: World, token: str | None, path: str, query: str = "", headers: dict[str, str] | None = None
    ) -> None:
        given = {"host": "127.0.0.1", **({"authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self._world = world
        self._left = asyncio.Event()
        self._asked = False
        self._messages: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._rest = b""
        self._task: asyncio.Task[None] | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        start = await self._messages.get()
        assert start is not None, "the application ended without an answer"
        self.status = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        try:
            await self._world.app(self._scope, self._receive, self._send)
        finally:
            await self._messages.put(None)

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self._messages.put(dict(message))

    async def block(self) -> str | None:
        """The next block of the stream, up to its empty line; None at the end."""
        while b"\n\n" not in self._rest:
            message = await self._messages.get()
            if message is None:
                return None
            self._rest += message.get("body", b"")
            self.complete = not message.get("more_body", False)
        block, _, self._rest = self._rest.partition(b"\n\n")
        return block.decode()

    async def event(self) -> dict[str, Any]:
        """The next event: its data, with the stream's id of it as `_id`. Comments are skipped."""
        while True:
            block = await self.block()
            assert block is not None, "the stream has ended"
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "data" in fields:
                return {**json.loads(fields["data"]), "_id": int(fields["id"])}

    async def events_until(self, event_type: str) -> list[dict[str, Any]]:
        """The events up to the first of this type."""
        found = []
        while True:
            found.append(await self.event())
            if found[-1]["data"]["event_type"] == event_type:
                return found

    async def end(self) -> None:
        """Returns when the server has ended the stream by itself, properly."""
        while await self.block() is not None:
            pass
        assert self.complete
        assert not self._left.is_set()

"""A real uvicorn on a free port of loopback, in a thread of its own, over a world of the test's making."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from enactor.http.streams import Streams
from tests.http.world import World, world_of


class Served:
    """A server that runs.

    Attributes:
        url: where.
        world: what it serves; its coroutines are run with `run`, in the server's own loop.
    """

    def __init__(self, url: str, world: World, loop: asyncio.AbstractEventLoop) -> None:
        self.url = url
        self.world = world
        self._loop = loop

    def run(self, make: Callable[[World], Awaitable[Any]]) -> Any:
        """The result of a coroutine in the server's loop."""

        async def awaited() -> Any:
            return await make(self.world)

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result(30)


@contextmanager
def serving(key_file: Path, *, streams: Streams | None = None) -> Iterator[Served]:
    """A server, stopped at the end."""
    # With its protocol named, asyncio sends small answers at once (TCP_NODELAY); else each waits for 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    # Whoever connects from here on is answered, be it a moment later.
    listening.listen(128)
    started: list[Served] = []
    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with world_of(key_file, streams=streams) as world:
            config = uvicorn.Config(world.app, http="httptools", lifespan="off", log_config=None, access_log=False)
            server = uvicorn.Server(config)
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            started.append(Served(url, world, asyncio.get_running_loop()))
            running = asyncio.ensure_future(server.serve(sockets=[listening]))
            ready.set()
            await asyncio.to_thread(stop.wait)
            world.deps.streams.drain()
            server.should_exit = True
            await running

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(30)
        yield started[0]
    finally:
        stop.set()
        thread.join()

"""One server process: the HTTP face, the engine and the outbox over one store, from start to a drained stop."""

from __future__ import annotations

import asyncio
import errno
import importlib.util
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn
from fastapi import FastAPI

from enactor import __version__
from enactor.domain.errors import ConfigurationError, EnactorError, StoreFailed, Unavailable
from enactor.gateway.doors import GuardRules
from enactor.gateway.egress import EgressRefused, EgressRules, GuardedTransport
from enactor.gateway.guard_metrics import GuardsCollector
from enactor.gateway.guards import Guards
from enactor.gateway.secrets import EnvFileSecrets, read_reference
from enactor.http.app import create_app
from enactor.http.auth import Authenticator
from enactor.http.context import HttpDeps, HttpSettings
from enactor.http.dev_issuer import DevIssuer
from enactor.http.metrics import Metrics
from enactor.http.streams import Streams
from enactor.outbox.dispatcher import Dispatcher
from enactor.outbox.metrics import OutboxCollector
from enactor.outbox.webhooks import WebhookSender, WebhookTarget, webhook_id
from enactor.pipeline.model import Settings as PipelineSettings
from enactor.ports.store import Store
from enactor.service import Limits
from enactor.settings import EVERY_TENANT, LOOPBACK, GuardsSettings, Settings, without_password
from enactor.system import SystemClock, SystemRandomness
from enactor.wiring import process
from enactor.wiring.assembly import Assembly, artifacts_of, assemble, find_connectors, find_transforms, open_store
from enactor.wiring.ledger import log_options

if TYPE_CHECKING:
    from enactor.gateway.mcp_plane import McpToolPlane
    from enactor.mcp.door import Door
    from enactor.wiring.assembly import Detour

_log = logging.getLogger("enactor.serve")
_MCP_IS_THERE: Final = importlib.util.find_spec("mcp") is not None
_BACKLOG: Final = 2_048


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT. Returns the exit status: 0 after a drained stop, 1 when the store gave up.

    Raises:
        ConfigurationError, StoreFailed: it could not start; the message says what to do.
    """
    logging.basicConfig(
        level=settings.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    for name in ("httpcore", "httpx", "httpx2"):
        # They log addresses with their queries, and at "debug" headers: what is sent to targets is nobody else's.
        logging.getLogger(name).setLevel(logging.WARNING)
    if settings.engine != "local":
        raise ConfigurationError(f"This version has no {settings.engine} engine; use --engine local.")
    if settings.workers > 1:
        raise ConfigurationError(
            "This version serves with one process. Start several servers on a store that they share, each on a port of "
            "its own, behind a load balancer."
        )
    process.let_threads_in()
    with asyncio.Runner(loop_factory=process.loop_factory()) as runner:
        return runner.run(_Process(settings).run())


class _Process:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._randomness = SystemRandomness()
        self._metrics = Metrics()

    async def run(self) -> int:
        """Starts everything, serves, and stops everything in the order that loses nothing."""
        listening = _listen(self._settings.host, self._settings.port)
        gave_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            store = await open_store(self._settings.store, self._clock, lambda: gave_up.set_result(None))
        except BaseException:
            listening.close()
            raise
        try:
            assembly = self._assemble(store)
            dispatcher = self._dispatcher(store)
            deps = self._http(assembly)
            deps.metrics.registry.register(OutboxCollector(dispatcher.stats))
            deps.metrics.registry.register(GuardsCollector(assembly.tools.counts))
            app = create_app(deps)
            doors = self._doors(assembly, deps)
            for door in doors:
                app.router.routes.extend(door.routes())
            if self._settings.restored:
                count = await assembly.service.restore.put_in_doubt()
                _log.warning("restored from a backup: %d intents may have been executed since, and say so", count)
            await assembly.start()
            await dispatcher.start()
            await assembly.keeper.start()
            for door in doors:
                await door.start()
        except BaseException:
            listening.close()
            await store.close()
            raise
        return await self._serve(app, deps, assembly, dispatcher, listening, gave_up, doors)

    async def _serve(
        self,
        app: FastAPI,
        deps: HttpDeps,
        assembly: Assembly,
        dispatcher: Dispatcher,
        listening: socket.socket,
        gave_up: asyncio.Future[None],
        doors: list[Door],
    ) -> int:
        server = _Server(_uvicorn_config(app))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.tell_to_stop, deps.streams)
        broken: list[EnactorError] = []

        def stop_on(future: asyncio.Future[None]) -> None:
            error = None if future.cancelled() else future.exception()
            if error is not None:
                broken.append(error if isinstance(error, EnactorError) else Unavailable("A part of the server failed."))
            server.tell_to_stop(deps.streams)

        # The store may give up over a request, while engine and outbox have nothing to do.
        for failed in (assembly.engine.failed, dispatcher.failed, assembly.keeper.failed, gave_up):
            if failed is not None:
                failed.add_done_callback(stop_on)
        process.settle_down()
        self._announce(listening)
        try:
            await server.serve(sockets=[listening])
        finally:
            for door in doors:
                await door.stop()
            await deps.authenticator.close()
            await dispatcher.drain(self._settings.drain_seconds)
            if gave_up.done() and not broken:
                broken.append(await _why(assembly.store))
            await assembly.stop(self._settings.drain_seconds)
        if broken:
            sys.stderr.write(f"enactor: {broken[0].message}\n")
            return 1
        return 0

    def _announce(self, listening: socket.socket) -> None:
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        store = without_password(self._settings.store)
        sys.stdout.write(f"Enactor {__version__} listens on http://{shown}:{port}, store {store}\n")
        if self._settings.dev:
            sys.stdout.write("Development tokens are accepted: enactor dev token --tenant T --role R --subject S\n")
        sys.stdout.flush()

    def _assemble(self, store: Store) -> Assembly:
        settings = self._settings
        return assemble(
            store,
            connectors=find_connectors(
                settings.connectors,
                store,
                self._clock,
                settings.connector_settings,
                development=settings.dev and settings.host in LOOPBACK,
            ),
            clock=self._clock,
            randomness=self._randomness,
            secrets=EnvFileSecrets(settings.secrets),
            limits=Limits(
                max_pending_of_proposer=settings.limits.pending_per_proposer,
                max_pending_of_tenant=settings.limits.pending_per_tenant,
                expires_in_seconds=settings.limits.expires_in_seconds,
                shadow=settings.shadow,
            ),
            pipeline=PipelineSettings(
                max_pause_ms=round(settings.max_pause_seconds * 1000),
                doubt_look_up_ms=round(settings.doubt_look_up_seconds * 1000),
            ),
            transforms=find_transforms(),
            concurrency=settings.concurrency,
            listener=self._metrics.ended,
            mcp=self._mcp_servers(),
            log=log_options(settings, self._randomness),
            artifacts=artifacts_of(settings),
            merge_seconds=settings.ledger.merge_seconds,
            checkpoint_seconds=settings.ledger.checkpoint_seconds,
            guards=guards_of(settings.guards),
            detour=self._detour(store),
        )

    def _mcp_servers(self) -> McpToolPlane | None:
        """The tools of the MCP servers in the settings. Raises `ConfigurationError`."""
        if not self._settings.mcp_servers:
            return None
        if not _MCP_IS_THERE:
            raise ConfigurationError("mcp_servers needs the extra mcp: pip install 'enactor[mcp]'.")
        from enactor.wiring.mcp import plane_of

        return plane_of(self._settings, self._clock)

    def _detour(self, store: Store) -> Detour | None:
        """The gateway that some connectors are called through. Raises `ConfigurationError`."""
        if not self._settings.mcp.behind_gateway:
            return None
        if not _MCP_IS_THERE:
            raise ConfigurationError("mcp.behind_gateway needs the extra mcp: pip install 'enactor[mcp]'.")
        from enactor.wiring.mcp import detour_of

        return detour_of(self._settings, store, self._clock, self._randomness)

    def _doors(self, assembly: Assembly, deps: HttpDeps) -> list[Door]:
        """What speaks MCP to others. Raises `ConfigurationError`."""
        if not _MCP_IS_THERE:
            if self._settings.mcp.gateway:
                raise ConfigurationError("mcp.gateway needs the extra mcp: pip install 'enactor[mcp]'.")
            return []
        from enactor.wiring.mcp import doors_of

        return doors_of(self._settings, assembly.direct, deps)

    def _http(self, assembly: Assembly) -> HttpDeps:
        settings = self._settings
        dev_issuer = DevIssuer.load(settings.dev_key_file) if settings.dev else None
        return HttpDeps(
            service=assembly.service,
            store=assembly.store,
            engine=assembly.engine,
            tools=assembly.tools,
            authenticator=Authenticator(settings.issuers, self._clock, dev_issuer=dev_issuer),
            clock=self._clock,
            ids=assembly.ids,
            randomness=self._randomness,
            version=__version__,
            metrics=self._metrics,
            ledger=assembly.keeper.status,
            connectors=(*(c.name for c in assembly.connectors), *(server.name for server in settings.mcp_servers)),
            health=assembly.tools.health,
            settings=HttpSettings(
                max_body_bytes=settings.limits.body_bytes,
                max_body_depth=settings.limits.body_depth,
                dev=settings.dev,
                host=settings.host,
            ),
        )

    def _dispatcher(self, store: Store) -> Dispatcher:
        targets = [
            WebhookTarget(
                id=webhook_id(webhook.tenant, webhook.url),
                tenant_id="" if webhook.tenant == EVERY_TENANT else webhook.tenant,
                url=webhook.url,
                secret=webhook.secret,
                event_types=frozenset(webhook.event_types),
            )
            for webhook in self._settings.webhooks
        ]
        rules = EgressRules(development=self._settings.dev and self._settings.host in LOOPBACK)
        for target in targets:
            try:
                rules.check_url(target.url)
            except EgressRefused as error:
                raise ConfigurationError(f"webhooks: {error.message}") from None
        sender = WebhookSender(
            GuardedTransport(rules, self._clock),
            self._clock,
            read_secret=lambda target: read_reference(target.secret, os.environ, f"The secret of webhook {target.id}"),
        )
        return Dispatcher(store, targets, sender, clock=self._clock, randomness=self._randomness)


def guards_of(settings: GuardsSettings) -> Guards:
    """The guards that the settings say."""
    return Guards(
        default=GuardRules(**settings.model_dump(exclude={"connectors"})),
        connectors={name: GuardRules(**settings.of(name).model_dump()) for name in settings.connectors},
    )


async def _why(store: Store) -> EnactorError:
    """What a store that gave up answers to every commit."""
    try:
        await store.commit([])
    except StoreFailed as error:
        return error
    return StoreFailed("The store gave up. Start again; what was acknowledged is kept.")


class _Server(uvicorn.Server):
    """Leaves signals to the process, which has more to stop than the HTTP face."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn's own would raise each signal again after serving, and end the process before it has drained."""
        yield

    def tell_to_stop(self, streams: Streams) -> None:
        """Stops taking requests and ends event streams, which would never end by themselves; at once if told twice."""
        self.force_exit = self.should_exit
        self.should_exit = True
        streams.drain()


def _uvicorn_config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=10,
        backlog=_BACKLOG,
    )


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises `ConfigurationError` when it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named, asyncio sends small answers at once (TCP_NODELAY); else each may wait for 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(f"Port {port} is in use; stop what listens there or choose --port.") from None
        raise ConfigurationError(f"It cannot listen on {host}:{port}: {error.strerror}.") from None
    listening.setblocking(False)
    return listening

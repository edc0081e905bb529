"""Putting an Enactor together from a store, an engine, a tool plane and policies."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from enactor.connectors.context import ConnectorContext
from enactor.connectors.internal import InternalConnector
from enactor.connectors.sdk import Connector, FunctionConnector
from enactor.domain.errors import ConfigurationError
from enactor.domain.mapping import CustomTransform
from enactor.engines.local import Listener, LocalEngine
from enactor.gateway.artifacts import FileArtifacts
from enactor.gateway.composite import CompositeToolPlane, GovernedPlane
from enactor.gateway.guards import GuardedPlane, Guards
from enactor.gateway.in_process import InProcessToolPlane
from enactor.gateway.secrets import read_reference
from enactor.pipeline.driver import Driver
from enactor.pipeline.model import Context
from enactor.pipeline.model import Settings as PipelineSettings
from enactor.policies.cedar import CedarPolicyEngine
from enactor.ports.artifacts import ArtifactStore
from enactor.ports.clock import Clock, Ids, Randomness
from enactor.ports.secrets import SecretSource
from enactor.ports.store import LedgerReader, Store
from enactor.service import Core, Limits, LogOptions, Service
from enactor.service.keeper import LedgerKeeper
from enactor.settings import Settings, StoreAddress, store_address
from enactor.wiring.faults import watched_plane, watched_store
from enactor.wiring.ledger import ephemeral_signers

if TYPE_CHECKING:
    from enactor.gateway.mcp_plane import McpToolPlane

ENTRY_POINTS: Final = "enactor.connectors"
TRANSFORMS: Final = "enactor.transforms"


class Detour(Struct, frozen=True, kw_only=True):
    """Connectors that are called through somewhere else, and the plane that does it around the one that has them."""

    connectors: frozenset[str]
    through: Callable[[GovernedPlane], GovernedPlane]


class Assembly(Struct, frozen=True, kw_only=True):
    """Everything that makes one running Enactor, not started yet.

    Attributes:
        tools: what the pipeline calls tools through.
        direct: the same tools without guards and detours; what `/gateway/mcp` serves.
    """

    store: Store
    tools: GuardedPlane
    direct: GovernedPlane
    engine: LocalEngine
    service: Service
    clock: Clock
    ids: Ids
    randomness: Randomness
    connectors: tuple[Connector, ...]
    keeper: LedgerKeeper
    mcp: McpToolPlane | None = None

    async def start(self) -> None:
        """Lists MCP servers, registers the tools' action types, recovers what is unfinished and begins to work."""
        if self.mcp is not None:
            await self.mcp.start()
            self.mcp.on_change(self._register)
        await self.service.registry.ensure_defaults(self.tools.action_types())
        await self.engine.start()

    async def _register(self) -> None:
        await self.service.registry.ensure_defaults(self.tools.action_types())

    async def stop(self, drain_seconds: float) -> None:
        """Lets what is out come back, and closes everything. Stopping twice is stopping once."""
        await self.engine.drain(drain_seconds)
        await self.keeper.stop()
        await self.tools.close()
        await self.store.close()


async def open_store(url: str, clock: Clock, on_failure: Callable[[], None] | None = None) -> Store:
    """Opens the store of a URL. Only what that store needs is imported.

    Args:
        on_failure: called once when the store can no longer be trusted; the process has to stop.

    Raises:
        ConfigurationError: the URL, or what it needs, is wrong.
        StoreFailed: it cannot be opened; the message says what to do.
    """
    address = store_address(url)
    if address.scheme == "sqlite" and address.path is not None:
        from enactor.stores.sqlite import SqliteStore

        return watched_store(await SqliteStore.open(address.path, clock=clock, on_failure=on_failure), os.environ)
    if address.scheme == "memory":
        from enactor.stores.memory import MemoryStore

        return watched_store(MemoryStore(clock), os.environ)
    if address.scheme == "dynamodb":
        from enactor.stores.dynamodb import DynamoStore
        from enactor.system import SystemRandomness

        dynamo = await DynamoStore.open(
            address.region,
            clock=clock,
            randomness=SystemRandomness(),
            prefix=address.options.get("prefix", DynamoStore.DEFAULT_PREFIX),
            endpoint=address.options.get("endpoint"),
            on_failure=on_failure,
            artifacts=s3_artifacts(address) if "artifacts" in address.options else None,
        )
        return watched_store(dynamo, os.environ)
    raise ConfigurationError(f"This version has no {address.scheme} store; use sqlite:///enactor.db.")


@asynccontextmanager
async def open_ledger(url: str, clock: Clock) -> AsyncIterator[LedgerReader]:
    """The ledger in the store of a URL, to be read. A SQLite file is not written to, and a server may have it open.

    Raises:
        ConfigurationError, StoreFailed: as `open_store`.
    """
    address = store_address(url)
    if address.scheme == "sqlite" and address.path is not None:
        from enactor.stores.sqlite import SqliteLedger

        store: SqliteLedger | Store = await SqliteLedger.open(address.path)
    else:
        store = await open_store(url, clock)
    try:
        yield store
    finally:
        await store.close()


def s3_artifacts(address: StoreAddress) -> ArtifactStore:
    """Artifacts in the bucket that a DynamoDB store's URL names as `artifacts=bucket/prefix`.

    Raises:
        ConfigurationError: the SDK is not installed, or its settings are wrong.
    """
    from enactor.gateway.aws_artifacts import S3Artifacts
    from enactor.stores.dynamodb.client import sdk_client

    bucket, _, prefix = address.options["artifacts"].partition("/")
    client = sdk_client("s3", address.region, address.options.get("endpoint"), attempts=4)
    return S3Artifacts(client, bucket, f"{prefix.rstrip('/')}/" if prefix else "")


def artifacts_of(settings: Settings) -> ArtifactStore:
    """Where answers are put aside, and erased: the bucket that the store's URL names, or else a folder.

    Raises:
        ConfigurationError: the SDK is not installed, or its settings are wrong.
    """
    address = settings.address
    if address.scheme == "dynamodb" and "artifacts" in address.options:
        return s3_artifacts(address)
    return FileArtifacts(settings.mcp.artifacts)


def create_tables(url: str) -> list[str]:
    """Creates what a store needs before it can be opened. Blocks.

    Returns:
        The names of the tables that were created; a store that makes its own when it is opened has none.

    Raises:
        ConfigurationError: the URL, or what it needs, is wrong.
        StoreFailed: they cannot be created.
    """
    address = store_address(url)
    if address.scheme != "dynamodb":
        return []
    from enactor.stores.dynamodb import DynamoStore
    from enactor.stores.dynamodb.client import sdk_client
    from enactor.stores.dynamodb.migrate import create_tables as create

    client = sdk_client("dynamodb", address.region, address.options.get("endpoint"))
    try:
        return create(client, address.options.get("prefix", DynamoStore.DEFAULT_PREFIX))
    finally:
        client.close()


def find_connectors(
    names: Iterable[str],
    store: Store,
    clock: Clock,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    development: bool = False,
) -> tuple[Connector, ...]:
    """The connectors of those names: the internal one, and whatever installed packages offer.

    Args:
        settings: by name, what a connector takes; see `Connector.configured`.
        development: connectors may call targets on loopback.

    Raises:
        ConfigurationError: there is none of a name, or its settings are wrong.
    """
    offered = {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    found: list[Connector] = []
    given = settings or {}
    for name in names:
        if name == InternalConnector.name:
            found.append(InternalConnector(store, clock))
        elif name in offered:
            context = ConnectorContext(
                clock=clock,
                settings=given.get(name, {}),
                read_secret=lambda reference, what: read_reference(reference, os.environ, what),
                development=development,
            )
            found.extend(offered[name].load().configured_many(context))
        else:
            known = ", ".join(sorted({*offered, InternalConnector.name}))
            raise ConfigurationError(f"There is no connector '{name}'; installed are: {known}.")
    return tuple(found)


def find_transforms() -> dict[str, CustomTransform]:
    """The functions that CUSTOM parameter mappings may name: what installed packages offer."""
    return {point.name: point.load() for point in importlib.metadata.entry_points(group=TRANSFORMS)}


def as_connectors(given: Iterable[Connector | Callable[..., Any]]) -> tuple[Connector, ...]:
    """Connectors, and functions marked with `@tool` as connectors."""
    return tuple(item if isinstance(item, Connector) else FunctionConnector(item) for item in given)


def assemble(
    store: Store,
    *,
    connectors: Iterable[Connector],
    clock: Clock,
    randomness: Randomness,
    secrets: SecretSource,
    limits: Limits,
    pipeline: PipelineSettings,
    transforms: Mapping[str, CustomTransform],
    concurrency: int,
    sweep_seconds: float = 5.0,
    listener: Listener | None = None,
    mcp: McpToolPlane | None = None,
    guards: Guards | None = None,
    log: LogOptions | None = None,
    artifacts: ArtifactStore | None = None,
    merge_seconds: float = 2.0,
    checkpoint_seconds: float = 60.0,
    detour: Detour | None = None,
) -> Assembly:
    """Puts an Enactor with the local engine together over an open store.

    Args:
        mcp: the tools of MCP servers, beside the connectors'.
        guards: what is held against calls to each connector.
        log: how the ledger's logs are named and signed; by a key that is gone with the process, when absent.
        artifacts: where answers are put aside, so that they can be erased.
        merge_seconds: how long entries are collected before they are merged into their log.
        checkpoint_seconds: how often a log that has grown is signed.
        detour: the connectors that are called through a gateway.

    Raises:
        ConfigurationError: the connectors do not fit together, or something is said of one that there is not.
    """
    bound = tuple(connectors)
    in_process = InProcessToolPlane(bound, secrets)
    offered: GovernedPlane = in_process
    if mcp is not None:
        if taken := {connector.name for connector in bound} & mcp.targets.keys():
            raise ConfigurationError(f"A connector and an MCP server are both named '{min(taken)}'.")
        offered = CompositeToolPlane([in_process, mcp])
    guards = guards or Guards()
    known = {connector.name for connector in bound} | (set(mcp.targets) if mcp is not None else set())
    guards.check(known)
    if detour is not None and (strange := detour.connectors - known):
        raise ConfigurationError(f"mcp.behind_gateway names '{min(strange)}', which is no connector.")
    reached = offered if detour is None else detour.through(offered)
    tools = GuardedPlane(watched_plane(reached, os.environ), guards, clock)
    ids = Ids(clock, randomness)
    context = Context(clock, ids, randomness, pipeline)
    services: list[Service] = []

    async def housekeeping() -> None:
        await services[0].decisions.expire_due()

    engine = LocalEngine(
        Driver(store, tools, context),
        store,
        clock,
        concurrency=concurrency,
        sweep_seconds=sweep_seconds,
        exclusive=store.exclusive,
        listener=listener,
        housekeeping=housekeeping,
    )
    core = Core(
        store=store,
        tools=tools,
        engine=engine,
        policy=CedarPolicyEngine(),
        clock=clock,
        ids=ids,
        randomness=randomness,
        limits=limits,
        transforms=transforms,
    )
    options = log if log is not None else LogOptions(signers=ephemeral_signers(randomness))
    service = Service(core, context, options, artifacts)
    services.append(service)
    return Assembly(
        store=store,
        tools=tools,
        direct=offered,
        engine=engine,
        service=service,
        clock=clock,
        ids=ids,
        randomness=randomness,
        connectors=bound,
        keeper=LedgerKeeper(
            service.log, store, clock, merge_seconds=merge_seconds, checkpoint_seconds=checkpoint_seconds
        ),
        mcp=mcp,
    )

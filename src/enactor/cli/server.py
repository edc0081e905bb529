"""Running a server, and what belongs to it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from enactor.cli.failures import Failure
from enactor.cli.options import AsJson, StoreUrl
from enactor.cli.output import print_json, say

if TYPE_CHECKING:
    from enactor.ports.store import Store
    from enactor.settings import Loaded

Result = TypeVar("Result")


def loaded(**flags: Any) -> Loaded:
    """The settings in force for a command. Raises `ConfigurationError`."""
    from enactor.settings import load

    return load(flags, os.environ)


def serve(
    dev: Annotated[
        bool | None, typer.Option("--dev", help="Accept tokens of `enactor dev token`; on loopback only.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65_535, help="Port; 0 takes a free one.")] = None,
    store: StoreUrl = None,
    engine: Annotated[str | None, typer.Option("--engine", help="Who runs executions: local or restate.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Server processes; this version takes 1.")
    ] = None,
    restored: Annotated[
        bool | None,
        typer.Option("--restored", help="The store comes from a backup: put in doubt what may have run since."),
    ] = None,
    shadow: Annotated[
        bool | None, typer.Option("--shadow", help="Evaluate and record every proposal, execute none.")
    ] = None,
    log_level: Annotated[str | None, typer.Option("--log-level", help="debug, info, warning or error.")] = None,
) -> None:
    """Serve the HTTP API and execute what is approved, until SIGTERM or SIGINT."""
    settings = loaded(
        dev=dev,
        host=host,
        port=port,
        store=store,
        engine=engine,
        workers=workers,
        restored=restored,
        shadow=shadow,
        log_level=log_level,
    ).settings
    if not settings.dev and not settings.issuers:
        raise Failure("Nobody could log in: name an [[issuers]] in enactor.toml, or try it out with --dev.")
    from enactor.wiring import serve as serve_settings

    status = serve_settings(settings)
    if status:
        raise typer.Exit(1)


def worker(store: StoreUrl = None) -> None:
    """Execute what other processes approve, without an HTTP API; for engines that spread over machines."""
    engine = loaded(store=store).settings.engine
    raise Failure(f"The {engine} engine executes within `enactor serve` and has no workers of its own.")


def migrate(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """Bring the store's schema up to this version, creating DynamoDB's tables. Starting a server upgrades too."""
    from enactor.wiring import create_tables

    for name in create_tables(loaded(store=store).settings.store):
        if not as_json:
            say(f"Created the table {name}.")
    info = with_store(store, lambda opened: opened.info())
    if as_json:
        print_json({"kind": info.kind, "location": info.location, "schema_version": info.schema_version})
    else:
        say(f"{info.location} is at schema version {info.schema_version}.")


def with_store(url: str | None, use: Callable[[Store], Awaitable[Result]]) -> Result:
    """What `use` returns of the store of a URL, or of the settings; the store is closed afterwards.

    Raises:
        ConfigurationError, StoreFailed: it cannot be opened.
    """
    import asyncio

    from enactor.system import SystemClock
    from enactor.wiring import open_store

    address = loaded(store=url).settings.store

    async def used() -> Result:
        store = await open_store(address, SystemClock())
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(used())


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where its database and its log go.")] = Path(".demo"),
) -> None:
    """Propose, approve, execute, crash, recover, verify: the whole job, over HTTP, in under a minute."""
    from enactor.demo import run

    raise typer.Exit(run(folder))

"""The DynamoDB store over the emulator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from enactor.conformance.aws.emulator import REGION, Emulator
from enactor.conformance.clocks import SeededRandomness
from enactor.ports.artifacts import ArtifactStore
from enactor.ports.clock import Clock
from enactor.stores.dynamodb import DynamoStore
from enactor.stores.dynamodb.book import Shape
from enactor.stores.dynamodb.client import sdk_client
from enactor.stores.dynamodb.migrate import create_tables

PREFIX = "cc-native"
SHAPE = Shape(shards=2, gates=3)
"""Small, so that a test is quick, and more than one of each, so that it shows what is not merged."""

_opened = 0


def client_of(emulator: Emulator) -> Any:
    """A client of the emulator's DynamoDB, with the tables created."""
    client = sdk_client("dynamodb", REGION, emulator.endpoint, read_seconds=100)
    create_tables(client, PREFIX)
    return client


async def without_pause(seconds: float) -> None:
    """Gives way once, instead of waiting: what is waited for in a test is not the time."""
    await asyncio.sleep(0)


async def opened(
    client: Any,
    clock: Clock,
    shape: Shape = SHAPE,
    on_failure: Callable[[], None] | None = None,
    artifacts: ArtifactStore | None = None,
) -> DynamoStore:
    """Opens the store. Each one's tokens are its own, as those of different processes are."""
    global _opened  # noqa: PLW0603 - a count of this process's stores
    _opened += 1
    return await DynamoStore.open(
        REGION,
        clock=clock,
        randomness=SeededRandomness(_opened),
        prefix=PREFIX,
        client=client,
        shape=shape,
        sleep=without_pause,
        on_failure=on_failure,
        artifacts=artifacts,
    )

"""Deployments of the functions' handlers on the emulator."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from enactor.conformance.aws import Emulator
from enactor.conformance.clocks import ManualClock
from tests.aws.deployed import Deployed


@pytest.fixture
def deploy(emulator: Emulator, dynamo: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Deployed]]:
    """Makes a deployment with parameters of the template; what it made is gone with the test."""
    made: list[Deployed] = []

    def make(credentials: dict[str, str] | None = None, **parameters: str) -> Deployed:
        deployed = Deployed(emulator, monkeypatch, **parameters)
        made.append(deployed)
        deployed.make_surroundings(**(credentials or {}))
        deployed.trust_issuer()
        # The first to open the store says how it is laid out, as deploy.sh has it.
        return deployed

    yield make
    for deployed in made:
        deployed.close()
        deployed.remove_surroundings()


@pytest.fixture
def clock() -> ManualClock:
    """The time, which stands still unless the test moves it."""
    return ManualClock()

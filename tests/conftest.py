"""What every test shares: how hypothesis looks for examples, and what the suites of the ports say when they fail.

The profile `ci` (the default) tries the same examples on every run and sets no time limit on one, so that a slow
machine cannot fail a test. `HYPOTHESIS_PROFILE=explore` looks for new examples, ten times as many.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from enactor.conformance.aws import Emulator
    from enactor.conformance.radicale import Radicale

pytest.register_assert_rewrite("enactor.conformance")

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", deadline=None, max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def radicale(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Radicale"]:
    """A real CalDAV server, started as a demonstration starts it; it ends with its input."""
    from enactor.conformance.radicale import Radicale

    folder = tmp_path_factory.mktemp("radicale")
    command = [sys.executable, "-m", "enactor.conformance.radicale", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield Radicale(said["home"], said["user"], said["password"])
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.fixture(scope="session")
def emulator() -> Iterator["Emulator"]:
    """AWS on this machine, in a process of its own, for as long as the tests run."""
    from enactor.conformance.aws import Emulator

    with Emulator() as running:
        yield running


@pytest.fixture(scope="session")
def dynamo_client(emulator: "Emulator") -> Iterator[Any]:
    """A client of the emulator's DynamoDB, which has the store's tables. Making one takes a quarter of a second."""
    from enactor.conformance.aws.emulator import CREDENTIALS
    from enactor.conformance.aws.stores import client_of

    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        client = client_of(emulator)
    yield client
    client.close()


@pytest.fixture
def dynamo(emulator: "Emulator", dynamo_client: Any) -> Any:
    """The same client, and the tables empty."""
    emulator.empty_tables()
    return dynamo_client

"""Starting the emulator, and telling it how to fail."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

REGION = "eu-central-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What the SDK needs to sign requests; the emulator accepts anybody's."""


class Fault(Struct, frozen=True):
    """What a call of DynamoDB shall meet.

    Attributes:
        operation: the API's name, such as `TransactWriteItems`; empty for any.
        kind: `throttle`, `conflict` (with another transaction) and `unavailable` happen instead of the call,
            `hang_up` too, without an answer; `lose_answer` happens after the call has been done.
        after: so many calls are left alone first.
        times: so many calls meet it, one after the other.
        every: instead, the first of every so many calls meets it, for as long as the emulator runs.
    """

    operation: str
    kind: str
    after: int = 0
    times: int = 1
    every: int = 0


class Emulator:
    """AWS's services in a process of its own, while entered with `with`.

    Attributes:
        endpoint: its URL.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "enactor.conformance.aws.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.endpoint = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        with self._process:
            self._process.terminate()

    def reset(self) -> None:
        """Deletes everything, in every service."""
        self._control("reset")

    def empty_tables(self) -> None:
        """Deletes every item of every table, and forgets faults and counts."""
        self._control("empty_tables")

    def fault(self, fault: Fault) -> None:
        """Makes calls fail."""
        given = {name: getattr(fault, name) for name in fault.__struct_fields__}
        self._control("fault", given)

    def count_anew(self) -> None:
        """Forgets what was counted."""
        self._control("count_anew")

    def counts(self) -> dict[str, Any]:
        """How many calls of each operation were made, and items of transactions; `faults_left` were not met yet."""
        found: dict[str, Any] = self._control("counts")
        return found

    def _control(self, what: str, given: object = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.endpoint}/_emulator/{what}", data=json.dumps(given).encode(), method="POST"
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return json.load(answer)

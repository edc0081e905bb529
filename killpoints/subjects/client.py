"""The world's client for peers' programs: the same one for all of them, of the standard library alone."""

from __future__ import annotations

import http.client
import json
from threading import Event
from typing import Any
from urllib.parse import quote, urlsplit

from killpoints.kinds import TIMEOUT_SECONDS


class Refused(Exception):
    """The world answered that it did nothing. `retryable`: it may do it later."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class Unclear(Exception):
    """Whether the world did it cannot be told from what came back."""


def make(world: str, order: str, key: str, timeout: float = TIMEOUT_SECONDS) -> str:
    """Asks the world once for an order's effect. Returns its id. Raises `Refused` or `Unclear`."""
    try:
        status, content = request(world, "POST", "/effects", {"order": order}, {"Idempotency-Key": key}, timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unclear(type(error).__name__) from error
    if status == 201:
        return str(content["id"])
    if status in (401, 422, 429):
        raise Refused(str(content["error"]), retryable=status == 429)
    raise Unclear(f"status {status}")


def find(world: str, order: str, key: str, timeout: float = TIMEOUT_SECONDS) -> list[str]:
    """What a key has made. Raises `Unclear` when the world does not say."""
    try:
        status, content = request(world, "GET", f"/effects?order={quote(order)}&key={quote(key)}", None, {}, timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unclear(type(error).__name__) from error
    if status != 200:
        raise Unclear(f"status {status}")
    return [each["id"] for each in content]


def request(
    world: str, method: str, path: str, body: Any, headers: dict[str, str], timeout: float = TIMEOUT_SECONDS
) -> tuple[int, Any]:
    """One HTTP request over a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(world).netloc, timeout=timeout)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def pause(seconds: float) -> None:
    """Waits."""
    Event().wait(seconds)

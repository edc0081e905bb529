"""The emulator's own process: `python -m enactor.conformance.aws.server`. It says its port on standard output.

Requests to DynamoDB are served one at a time. moto alone is not atomic between threads, so that races against it show
nothing; serialised like this, two commits do race for which comes first, but a transaction never meets another one
halfway: `TransactionConflict` has to be asked for, as a fault.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.exceptions import MockValidationException, ResourceNotFoundException
from moto.dynamodb.models import dynamodb_backends
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from enactor.conformance.aws.quick import query, read, spare_sizes, write
from enactor.conformance.aws.strict import Rules

CONTROL: Final = "/_emulator/"
_TARGET: Final = "HTTP_X_AMZ_TARGET"
_DYNAMO: Final = "DynamoDB_20120810."

Start = Callable[..., Any]


class Application:
    """moto, with the strictness, tokens, counts and faults that it lacks."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._rules = Rules()
        self._tokens: dict[str, tuple[str, list[Any]]] = {}
        self._faults: list[dict[str, Any]] = []
        self._calls: Counter[str] = Counter()
        self._units: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if environ["PATH_INFO"].startswith(CONTROL):
            return self._control(environ["PATH_INFO"].removeprefix(CONTROL), body, start)
        environ["wsgi.input"] = _Body(body)
        target = environ.get(_TARGET, "")
        if not target.startswith(_DYNAMO):
            return [b"".join(self._moto(environ, start))]
        with self._lock:
            return self._dynamo(target.removeprefix(_DYNAMO), body, environ, start)

    def _dynamo(self, operation: str, body: bytes, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        request = json.loads(body)
        problem = self._rules.problem(operation, request)
        if problem is not None:
            return _error(start, "ValidationException", problem)
        self._calls[operation] += 1
        for item in request.get("TransactItems", []):
            self._units[f"{operation} {next(iter(item))}"] += 1
        fault = self._fault(operation)
        if fault == "throttle":
            return _error(start, "ProvisionedThroughputExceededException", "Too much at once")
        if fault == "conflict":
            reasons = [{"Code": "TransactionConflict", "Message": "Another transaction"}]
            reasons += [{"Code": "None"} for _ in request["TransactItems"][1:]]
            return _error(start, "TransactionCanceledException", "Conflict", {"CancellationReasons": reasons})
        if fault == "unavailable":
            return _error(start, "InternalServerError", "Something is wrong", status=500)
        if fault == "hang_up":
            return _hang_up(environ)
        token = request.get("ClientRequestToken")
        if token in self._tokens:
            known, answer = self._tokens[token]
            if known != body.decode():
                return _error(start, "IdempotentParameterMismatchException", "Another request had this token")
            start(*answer[:2])
            return [answer[2]]
        answer = self._quickly(operation, request, environ) or self._ask_moto(environ)
        if answer[0].startswith("200"):
            if operation == "CreateTable":
                self._rules.created(request)
            if token is not None:
                self._tokens[token] = (body.decode(), answer)
        if fault == "lose_answer":
            return _hang_up(environ)
        start(*answer[:2])
        return [answer[2]]

    def _quickly(self, operation: str, request: dict[str, Any], environ: dict[str, Any]) -> list[Any] | None:
        """The answer to what is asked most often, from moto's tables but not by moto's web server."""
        backend = dynamodb_backends[DEFAULT_ACCOUNT_ID][_region(environ)]
        try:
            if operation == "TransactWriteItems":
                reasons = write(backend, request["TransactItems"])
                if reasons:
                    self._units["cancelled"] += 1
                    more = {"CancellationReasons": reasons}
                    return _collected(_error, "TransactionCanceledException", "Transaction cancelled", more)
                return _json({})
            if operation == "Query":
                page = query(backend, request)
                return None if page is None else _json(page)
            if operation == "GetItem":
                item = read(backend, request["TableName"], request["Key"])
                return _json({"Item": item} if item is not None else {})
            if operation == "TransactGetItems":
                gets = [part["Get"] for part in request["TransactItems"]]
                found = [read(backend, get["TableName"], get["Key"]) for get in gets]
                return _json({"Responses": [{"Item": item} if item is not None else {} for item in found]})
            if operation == "BatchGetItem":
                asked = request["RequestItems"].items()
                tables = {table: [read(backend, table, key) for key in wanted["Keys"]] for table, wanted in asked}
                responses = {table: [it for it in items if it is not None] for table, items in tables.items()}
                return _json({"Responses": responses, "UnprocessedKeys": {}})
        except ResourceNotFoundException:
            return _collected(_error, "ResourceNotFoundException", "Requested resource not found")
        except MockValidationException as error:
            return _collected(_error, "ValidationException", str(error.message))
        return None

    def _ask_moto(self, environ: dict[str, Any]) -> list[Any]:
        answer: list[Any] = []

        def started(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            answer.extend([status, headers])

        content = b"".join(self._moto(environ, started))
        return [*answer, content]

    def _fault(self, operation: str) -> str:
        """The fault that is due at this call; each happens as often as it was asked for."""
        for fault in self._faults:
            if fault["operation"] not in (operation, ""):
                continue
            if fault["every"]:
                fault["calls"] = fault.get("calls", 0) + 1
                if fault["calls"] % fault["every"] == 1:
                    return str(fault["kind"])
            else:
                fault["after"] -= 1
                if fault["after"] < 0:
                    fault["times"] -= 1
                    if fault["times"] == 0:
                        self._faults.remove(fault)
                    return str(fault["kind"])
        return ""

    def _control(self, what: str, body: bytes, start: Start) -> Iterable[bytes]:
        answer: Any = {}
        if what == "fault":
            self._faults.append(json.loads(body))
        elif what == "counts":
            answer = {"calls": self._calls, "items": self._units, "faults_left": len(self._faults)}
        elif what == "reset":
            self._rules.forget()
            self._tokens.clear()
            self._faults.clear()
            moto_api_backend.reset()
        elif what == "empty_tables":
            self._tokens.clear()
            self._faults.clear()
            for account in dynamodb_backends.values():
                for backend in account.values():
                    for table in backend.tables.values():
                        table.items.clear()
        if what not in ("fault", "counts"):
            self._calls.clear()
            self._units.clear()
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]


class _Body:
    """A request's body, which has been read already."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _error(
    start: Start, code: str, message: str, more: dict[str, Any] | None = None, *, status: int = 400
) -> Iterable[bytes]:
    content = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message, "Message": message}
    start(f"{status} Error", [("Content-Type", "application/x-amz-json-1.0")])
    return [json.dumps({**content, **(more or {})}).encode()]


def _json(content: Any) -> list[Any]:
    return ["200 OK", [("Content-Type", "application/x-amz-json-1.0")], json.dumps(content).encode()]


def _collected(answer: Callable[..., Iterable[bytes]], *given: Any) -> list[Any]:
    started: list[Any] = []
    content = b"".join(answer(lambda status, headers: started.extend([status, headers]), *given))
    return [*started, content]


def _region(environ: dict[str, Any]) -> str:
    """The region that a request was signed for."""
    return str(environ.get("HTTP_AUTHORIZATION", "")).partition("Credential=")[2].split("/")[2]


def _hang_up(environ: dict[str, Any]) -> Iterable[bytes]:
    """Closes the connection without an answer."""
    with contextlib.suppress(OSError):
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError


def main() -> None:
    """Serves on a free port until standard input is closed, as it is when the process that started it ends."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    spare_sizes()
    application = Application()
    MotoRequestHandler.protocol_version = "HTTP/1.1"
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    # moto's own state machines call functions at that port: here, unless somebody stands before this server.
    os.environ.setdefault("MOTO_PORT", str(server.port))
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()

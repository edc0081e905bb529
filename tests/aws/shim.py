"""What stands between everybody and the emulator: it runs functions for real, and watches their calls.

A function's process can be made to die before or after any of its writes.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from tests.aws.lambdas import Function

_INVOCATION = re.compile(r"/2015-03-31/functions/([^/?]+)/invocations")
_CREDENTIAL = re.compile(r"Credential=AK([A-Za-z0-9_-]+)/\d+/[^/]+/([^/]+)/")

_SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=0"


class Call(NamedTuple):
    """A call of AWS that a function made."""

    function: str
    service: str
    operation: str
    body: dict[str, Any]


class Fate(NamedTuple):
    """A function dies at a write: before it is passed on, or after it is done."""

    function: str
    after: bool
    matches: Callable[[dict[str, Any]], bool]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that was made to die does not wait for its answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Shim:
    """The server.

    Attributes:
        functions: those that were invoked.
        calls: what they were seen to do.
        fates: who dies when; each once.
        emulator: the emulator's port.
        moved: how many dead letters were sent back.
    """

    def __init__(self, directory: Path) -> None:
        self.functions: dict[str, Function] = {}
        self.calls: list[Call] = []
        self.fates: list[Fate] = []
        self.emulator = 0
        self.moved = 0
        self._directory = directory
        self._looking_up = threading.Lock()
        shim = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                found = _INVOCATION.fullmatch(self.path.partition("?")[0])
                if found is not None and self.command == "POST":
                    shim.invoke(self, found[1], body)
                else:
                    shim.forward(self, body)

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self.handle_any
                raise AttributeError(name)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops every function and the server."""
        for function in self.functions.values():
            function.close()
        self._server.shutdown()
        self._server.server_close()

    def function(self, deployed: str) -> Function:
        """The function of that name, with handler, environment and time limit as they are deployed."""
        with self._looking_up:
            name = deployed.partition("cc-native-")[2].replace("-", "_")
            if name not in self.functions:
                path = f"/2015-03-31/functions/{deployed}/configuration"
                connection = http.client.HTTPConnection("127.0.0.1", self.emulator, timeout=30)
                connection.request("GET", path, headers={"authorization": _SIGNED})
                response = connection.getresponse()
                assert response.status == 200, deployed
                self.functions[name] = Function(name, json.loads(response.read()), self.url, self._directory)
                connection.close()
            return self.functions[name]

    def invoke(self, request: BaseHTTPRequestHandler, name: str, body: bytes) -> None:
        """Runs a function, and answers as Lambda does."""
        function = self.function(name.rpartition(":")[2])
        failed, answer = function.invoke(body or b"{}")
        headers = {"X-Amz-Executed-Version": "$LATEST", "x-amzn-RequestId": "0", "content-type": "application/json"}
        if failed:
            headers["X-Amz-Function-Error"] = failed
        _answer(request, 200, headers, answer)

    def forward(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """Passes a call on, having looked who makes it."""
        found = _CREDENTIAL.search(request.headers.get("authorization", ""))
        caller = found[1].replace("0", "_") if found else ""
        service = found[2] if found else ""
        operation = request.headers.get("x-amz-target", "").rpartition(".")[2] or f"{request.command} {request.path}"
        # The emulator takes the bucket of a template's URL for a part of the host's name.
        body = body.replace(
            f"http%3A%2F%2F127.0.0.1%3A{self.port}".encode(), b"https%3A%2F%2Fs3.us-east-1.amazonaws.com"
        )
        watched = bool(caller)
        fate: Fate | None = None
        if watched:
            decoded = json.loads(body) if service != "s3" and body[:1] == b"{" else {}
            self.calls.append(Call(caller, service, operation, decoded))
            if operation == "TransactWriteItems":
                fate = next((f for f in self.fates if f.function == caller and f.matches(decoded)), None)
        if fate is not None:
            self.fates.remove(fate)
            if not fate.after:
                self.functions[caller].kill()
                return
        if operation == "StartMessageMoveTask":
            _answer(request, 200, {"content-type": "application/x-amz-json-1.0"}, self.move(json.loads(body)))
            return
        status, headers, answer = self._pass(request, body)
        if fate is not None:
            self.functions[caller].kill()
            return
        _answer(request, status, headers, answer)

    def move(self, task: dict[str, Any]) -> bytes:
        """Moves dead letters back to where they came from, as SQS does; the emulator does not know how."""
        dead = task["SourceArn"].rpartition(":")[2]
        (queue,) = [
            url
            for url in self._sqs("ListQueues", {})["QueueUrls"]
            if dead
            in self._sqs("GetQueueAttributes", {"QueueUrl": url, "AttributeNames": ["All"]})["Attributes"].get(
                "RedrivePolicy", ""
            )
        ]
        letters = {"QueueUrl": f"{queue.rpartition('/')[0]}/{dead}"}
        while found := self._sqs("ReceiveMessage", {**letters, "MaxNumberOfMessages": 10}).get("Messages"):
            for message in found:
                self._sqs("SendMessage", {"QueueUrl": queue, "MessageBody": message["Body"]})
                self._sqs("DeleteMessage", {**letters, "ReceiptHandle": message["ReceiptHandle"]})
                self.moved += 1
        return json.dumps({"TaskHandle": "moved"}).encode()

    def _sqs(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.emulator, timeout=60)
        try:
            headers = {
                "authorization": _SIGNED.replace("/lambda/", "/sqs/"),
                "x-amz-target": f"AmazonSQS.{operation}",
                "content-type": "application/x-amz-json-1.0",
            }
            connection.request("POST", "/", json.dumps(parameters).encode(), headers)
            found: dict[str, Any] = json.loads(connection.getresponse().read() or b"{}")
            return found
        finally:
            connection.close()

    def _pass(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.emulator, timeout=120)
        try:
            headers = {name: value for name, value in request.headers.items() if name.lower() != "connection"}
            if body:
                headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
            connection.request(request.command, request.path, body, headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()


def _answer(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    request.send_response(status)
    for name, value in headers.items():
        if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
            request.send_header(name, value)
    request.send_header(
        "content-length", headers.get("Content-Length", "0") if request.command == "HEAD" else str(len(body))
    )
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)

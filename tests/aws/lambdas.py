"""Functions as Lambda runs them: AWS's own runtime client around our handler, fed by a Runtime API of the test's.

Handler, environment and time limit are read back from the deployed stack.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REGION = "us-east-1"
ACCOUNT = "123456789012"
CONNECTOR = Path(__file__).parent / "connector"


def credentials(name: str) -> dict[str, str]:
    """Credentials that say who calls: nothing checks them, and the shim reads the name out of each signature."""
    return {"AWS_ACCESS_KEY_ID": f"AK{name.replace('_', '0')}", "AWS_SECRET_ACCESS_KEY": "none"}


class Function:
    """One function: its process is started when it is first invoked, and again after it has died.

    Attributes:
        log: everything its processes wrote.
        invocations: how often it was invoked.
    """

    def __init__(self, name: str, configuration: dict[str, Any], endpoint: str, directory: Path) -> None:
        self.name = name
        self.handler = configuration["Handler"]
        self.seconds = configuration["Timeout"]
        self.variables = configuration["Environment"]["Variables"]
        self.log = directory / f"{name}.log"
        self.invocations = 0
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._events: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._answers: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._process: subprocess.Popen[bytes] | None = None
        self._api: ThreadingHTTPServer | None = None

    def invoke(self, event: bytes) -> tuple[str, bytes]:
        """Invokes it. Returns "" and the result, or the kind of error and its document."""
        with self._lock:
            self.invocations += 1
            self._start()
            self._events.put((str(uuid.UUID(int=self.invocations)), event))
            ends = time.monotonic() + self.seconds
            while True:
                try:
                    return self._answers.get(timeout=0.05)
                except queue.Empty:
                    pass
                if self._process is None or self._process.poll() is not None:
                    self._forget()
                    return "Unhandled", _error("Runtime.ExitError", "Runtime exited with error")
                if time.monotonic() > ends:
                    self.kill()
                    self._forget()
                    return "Unhandled", _error("Sandbox.Timedout", f"Task timed out after {self.seconds} seconds")

    def kill(self) -> None:
        """Ends the process at once, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Ends the process, which may write its coverage first."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._api is not None:
            self._api.shutdown()
            self._api.server_close()

    def _forget(self) -> None:
        self._process = None
        for waiting in (self._events, self._answers):
            while not waiting.empty():
                waiting.get_nowait()

    def _start(self) -> None:
        if self._api is None:
            self._api = _runtime_api(self)
        if self._process is not None and self._process.poll() is None:
            return
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ENACTOR_"))}
        variables |= credentials(self.name) | self.variables
        variables |= {
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._api.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_LOG_LEVEL": "INFO",
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONPATH": str(CONNECTOR),
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "awslambdaric", self.handler], env=variables, stdout=log, stderr=log
            )


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


def _runtime_api(function: Function) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            request_id, event = function._events.get()
            self.send_response(200)
            deadline = int(time.time() * 1000) + function.seconds * 1000  # noqa: TID251 - the emulator's own clock
            for name, value in (
                ("Lambda-Runtime-Aws-Request-Id", request_id),
                ("Lambda-Runtime-Deadline-Ms", str(deadline)),
                ("Lambda-Runtime-Invoked-Function-Arn", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function.name}"),
                ("Lambda-Runtime-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"),
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(event))),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(event)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()
            failed = self.path.endswith("/error")
            function._answers.put(("Unhandled" if failed else "", body))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server

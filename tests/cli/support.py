"""A real HTTP server that answers as told, and the command run in both ways."""

import errno
import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typer.testing import CliRunner, Result

from enactor.cli.app import application

TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl"


class Request:
    """What a server was asked."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self.method = handler.command
        self.path, _, self.query = handler.path.partition("?")
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        length = int(handler.headers.get("content-length") or 0)
        self.content = handler.rfile.read(length)

    @property
    def body(self) -> Any:
        """The body's JSON."""
        return json.loads(self.content)


class Canned:
    """A real HTTP server on a free port of loopback that gives each call's next answer, and remembers the calls."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._answers: dict[tuple[str, str], list[tuple[int, bytes, dict[str, str]]]] = {}
        canned = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                request = Request(self)
                canned.requests.append(request)
                queue = canned._answers.get((request.method, request.path), [])
                if not queue:
                    status, content, headers = 404, problem(404, "NOT_FOUND", "Nothing is told to answer here."), {}
                else:
                    status, content, headers = queue.pop(0) if len(queue) > 1 else queue[0]
                headers = {"content-type": "application/json", "content-length": str(len(content)), **headers}
                if "date" in headers:
                    self.send_response_only(status)
                else:
                    self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
                if "connection" in headers:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def on(self, method: str, path: str, body: Any, status: int = 200, **headers: str) -> None:
        """Adds an answer; the last one of a call is given for ever."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        fixed = {name.replace("_", "-"): value for name, value in headers.items()}
        self._answers.setdefault((method, path), []).append((status, content, fixed))

    def close(self) -> None:
        """Stops the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def unanswered() -> Iterator[int]:
    """A port at which nothing answers, and that nobody else is given meanwhile: bound, and not listened on."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


def problem(status: int, code: str, detail: str, **more: Any) -> bytes:
    """A problem document."""
    return json.dumps(
        {"type": f"urn:{code}", "title": code, "status": status, "detail": detail, "error_code": code, **more}
    ).encode()


def run(*arguments: str, given: str | None = None) -> Result:
    """Runs the command in this process; its output goes to a pipe."""
    return CliRunner().invoke(application(), arguments, input=given, catch_exceptions=False, prog_name="enactor")


def start(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "enactor", *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def start_on_terminal(*arguments: str, asked: str = "", typed: str = "", **variables: str) -> tuple[int, str]:
    """Runs the command in a process of its own on a terminal; types when it has asked.

    Returns:
        The exit status, and everything that was on the screen.
    """
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "enactor", *arguments],
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "50", **variables},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    ) as process:
        os.close(slave)
        shown = b""
        try:
            while chunk := os.read(master, 65_536):
                shown += chunk
                if typed and asked.encode() in shown:
                    os.write(master, typed.encode())
                    typed = ""
        except OSError as error:
            # Linux reports the end of a terminal's last process as an input/output error.
            if error.errno != errno.EIO:
                raise
        except BaseException:
            process.kill()
            raise
        finally:
            os.close(master)
        return process.wait(timeout=10), shown.decode().replace("\r\n", "\n")

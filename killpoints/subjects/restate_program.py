"""Restate as a subject: a workflow for each order, keyed by the order, whose one durable step is tried four times.

Set up as its documentation has it: the server (with its defaults, in a process of its own that outlives the worker)
keeps the journal and drives the workflow again when the worker that ran it dies; `run` with a retry policy is the step;
the workflow's key travels as the idempotency key. A definite refusal is the step's value. A step whose attempts are
used up fails the workflow, which says "not done": that is what its caller is told. What is killed is the worker.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import restate

from killpoints.reports import read_report, write_report
from killpoints.subjects.client import Refused, make, pause

TRIES = 4
SERVER = Path(__file__).resolve().parents[1] / "npm" / "node_modules" / ".bin" / "restate-server"
OPTIONS = restate.RunOptions[str](max_attempts=TRIES, initial_retry_interval=timedelta(milliseconds=40))

orders = restate.Workflow("Orders")


@orders.main()
async def run(ctx: restate.WorkflowContext, asked: dict[str, Any]) -> str:
    """The whole order: its one step."""
    order = ctx.key()

    async def call() -> str:
        try:
            return await asyncio.to_thread(make, asked["world"], order, order, asked["timeout"])
        except Refused as error:
            if error.retryable:
                raise
            return ""

    return await ctx.run_typed("call", call, OPTIONS)


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now."""
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


class Subject:
    """The server, found or started, and the worker in this process."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._folder = Path(plan["folder"])
        self._known = read_report(self._folder / "ports.json")
        if not self._known:
            names = ("ingress", "admin", "node", "worker")
            self._known = dict(zip(names, free_ports(len(names)), strict=True))
            write_report(self._folder / "ports.json", self._known)
        if not (self._folder / "server.pid").exists():
            self._start_server()

    def _start_server(self) -> None:
        settings = {
            "RESTATE_BASE_DIR": str(self._folder / "restate"),
            "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{self._known['ingress']}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{self._known['admin']}",
            "RESTATE_BIND_ADDRESS": f"127.0.0.1:{self._known['node']}",
            "RESTATE_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
        }
        log = (self._folder / "server.log").open("ab")
        server = subprocess.Popen(
            [str(SERVER)], env={**os.environ, **settings}, stdout=log, stderr=log, start_new_session=True
        )
        (self._folder / "server.pid").write_text(str(server.pid))

    def ask(self, port: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request to the server. Raises `OSError` when it is not there yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self._known[port], timeout=60)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            content = response.read()
            return response.status, json.loads(content) if content else None
        finally:
            connection.close()

    def serve(self) -> None:
        """Serves the worker's endpoint from a thread of its own, for as long as the process lives."""
        config = hypercorn.config.Config()
        config.bind = [f"127.0.0.1:{self._known['worker']}"]
        config.loglevel = "CRITICAL"
        app = restate.app(services=[orders])
        forever = asyncio.Event().wait
        main = hypercorn.asyncio.serve(app, config, shutdown_trigger=forever)  # type: ignore[arg-type]
        threading.Thread(target=lambda: asyncio.run(main), daemon=True).start()

    def carry_out(self) -> dict[str, Any]:
        """Registers the worker, submits every order and waits for what comes of it."""
        uri = f"http://127.0.0.1:{self._known['worker']}"
        while True:
            try:
                if self.ask("admin", "POST", "/deployments", {"uri": uri, "force": True})[0] in (200, 201):
                    break
            except (OSError, http.client.HTTPException, ValueError):
                pass
            pause(0.1)
        for each in self._plan["orders"]:
            path = f"/Orders/{each['order']}/run/send"
            while self.ask("ingress", "POST", path, {"world": self._plan["world"], **each})[0] not in (200, 202):
                pause(0.1)
        report = {}
        for name in (each["order"] for each in self._plan["orders"]):
            status, made = self.ask("ingress", "GET", f"/restate/workflow/Orders/{name}/attach")
            done = status == 200 and bool(made)
            detail = "" if status == 200 else str((made or {}).get("message", status))
            report[name] = {"says": "done" if done else "not done", "refs": [made] if done else [], "detail": detail}
        return report

    def stop_server(self) -> None:
        """Ends the server: the order of things is over."""
        os.kill(int((self._folder / "server.pid").read_text()), signal.SIGTERM)


def main(plan: dict[str, Any]) -> int:
    """Carries out a plan. Returns the exit status."""
    subject = Subject(plan)
    subject.serve()
    report = subject.carry_out()
    subject.stop_server()
    write_report(Path(plan["report"]), report)
    return 0


if __name__ == "__main__":
    # The endpoint's thread has nothing to tidy up, and would wait for connections that the server keeps open.
    sys.stdout.flush()
    os._exit(main(json.loads(sys.argv[1])))

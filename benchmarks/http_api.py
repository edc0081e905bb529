"""The HTTP API under load: `POST /v1/intents` with 32 connections, and `POST /v1/intents/batch`, on a real server.

`python -m benchmarks.http_api` starts `enactor serve --dev` on a free port and drives it from this process over raw
keep-alive connections, so that the client costs little. Prints requests and items per second with the share of one core
that the server took, and saves `benchmarks/results/http.json`.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import RESULTS, machine
from benchmarks.measure import positive
from enactor.demo.stage import Server

_CONNECTIONS = 32
_TICKS = os.sysconf("SC_CLK_TCK")


class LoadedServer(Server):
    """A server on which any number of intents may wait."""

    @property
    def environment(self) -> dict[str, str]:
        """The demonstration's environment, with the limits out of the way."""
        limits = {
            "ENACTOR_LIMITS__PENDING_PER_PROPOSER": "1000000",
            "ENACTOR_LIMITS__PENDING_PER_TENANT": "10000000",
        }
        return {**super().environment, **limits}


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has taken so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def proposal(number: int) -> dict[str, object]:
    """One proposal of a note."""
    return {
        "action_type": "CREATE_INTERNAL_NOTE",
        "account_id": "acc-1",
        "parameters": {"title": f"Note {number}", "body": "Written by a benchmark."},
    }


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"

    async def open(self) -> None:
        """Connects."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def post(self, path: str, body: bytes) -> int:
        """Posts once; returns the status. The answer is read and dropped."""
        self._writer.write(f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        await self._reader.readexactly(length)
        return int(head.split(b" ", 2)[1])

    async def close(self) -> None:
        """Disconnects."""
        self._writer.close()
        await self._writer.wait_closed()


async def load(port: int, token: str, path: str, bodies: list[bytes], expected: int) -> float:
    """Posts every body over the connections; returns the seconds it took."""
    clients = [Client(port, token) for _ in range(min(_CONNECTIONS, len(bodies)))]
    await asyncio.gather(*(client.open() for client in clients))
    left = iter(bodies)

    async def work(client: Client) -> None:
        for body in left:
            status = await client.post(path, body)
            if status != expected:
                raise SystemExit(f"http: {path} answered {status}")

    begun = time.perf_counter()
    await asyncio.gather(*(work(client) for client in clients))
    took = time.perf_counter() - begun
    await asyncio.gather(*(client.close() for client in clients))
    return took


def main() -> int:
    """Run, print, save."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=positive, default=15_000, metavar="N", help="single proposals")
    options.add_argument("--batches", type=positive, default=40, metavar="N", help="batches of 1,000")
    given = options.parse_args()
    result: dict[str, object] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as name:
        server = LoadedServer(Path(name))
        server.start()
        try:
            token = server.token("planner", "proposer", agent=True)
            singles = [json.dumps(proposal(number)).encode() for number in range(given.requests)]
            batch = json.dumps({"items": [proposal(number) for number in range(1_000)]}).encode()
            asyncio.run(load(server.port, token, "/v1/intents", singles[: given.requests // 10], 201))
            for key, path, bodies, expected, each in (
                ("intents", "/v1/intents", singles, 201, 1),
                ("batch", "/v1/intents/batch", [batch] * given.batches, 200, 1_000),
            ):
                cpu = cpu_seconds(server.pid)
                seconds = asyncio.run(load(server.port, token, path, bodies, expected))
                share = (cpu_seconds(server.pid) - cpu) / seconds
                rate = len(bodies) * each / seconds
                result[key] = {"per_second": round(rate, 1), "share_of_one_core": round(share, 2)}
                unit = "requests" if each == 1 else "items"
                print(f"POST {path}: {rate:,.0f} {unit}/s, {share:.0%} of one core ({len(bodies):,} requests)")
        finally:
            server.stop()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "http.json").write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

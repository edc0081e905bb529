"""The target system, as a server: it does what each scenario's script says, and knows what really happened."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import defaultdict, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from enactor.conformance.target import Act


class TargetServer:
    """A scripted target on a free port.

    Attributes:
        sent: by scenario, how many calls arrived.
        made: by scenario, the objects made, each with the key it was made under.
    """

    def __init__(self) -> None:
        self.scripts: dict[str, deque[Act]] = defaultdict(deque)
        self.sent: dict[str, int] = defaultdict(int)
        self.made: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.taken_back: list[str] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                answer = json.dumps(target.answer(body)).encode()
                # Who was made to wait for too long has gone.
                with contextlib.suppress(ConnectionError):
                    self.send_response(200)
                    self.send_header("content-length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops; calls that hang come back."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """What a request gets."""
        if body["op"] == "take_back":
            self.taken_back += body["refs"]
            return {"made": f"refund-{body['key'][:8]}"}
        item, key = body["item"], body["key"]
        if body["op"] == "find":
            return {"made": next((made for made, by in self.made[item] if by == key), "")}
        with self._lock:
            self.sent[item] += 1
            act = self.scripts[item].popleft() if self.scripts[item] else Act.DO
            if act in (Act.REFUSE, Act.REFUSE_FOR_GOOD):
                return {"result": "refused", "code": act.value, "retryable": act is Act.REFUSE}
            if act is Act.LOSE_REQUEST:
                return {"result": "lost"}
            if act is not Act.TIME_OUT:
                made = self._make(item, key, honoured=body["kind"] in ("keyed", "partial"))
        if act is Act.TIME_OUT:
            self._closing.wait(60)
            return {"result": "lost"}
        if act is Act.DO_AND_LOSE_REPLY:
            return {"result": "lost"}
        return {"result": "partial" if act is Act.DO_PARTLY else "done", "made": made}

    def _make(self, item: str, key: str, *, honoured: bool) -> str:
        known = next((made for made, by in self.made[item] if by == key), None)
        if honoured and known:
            return known
        made = f"order-{item}-{len(self.made[item]) + 1}"
        self.made[item].append((made, key))
        return made

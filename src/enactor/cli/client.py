"""The HTTP client of the command line: one request, one answer, and every failure as one line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from enactor.cli.answers import Page, understood
from enactor.cli.credentials import Access, access
from enactor.cli.failures import Failure
from enactor.cli.text import one_line

if TYPE_CHECKING:
    import httpx

_SECONDS: Final = 30.0
_CONNECT_SECONDS: Final = 5.0
_ADVICE: Final = {
    "UNAUTHENTICATED": "Log in with `enactor login`, or set ENACTOR_TOKEN.",
    "APPROVAL_STALE": "Look at it again with `enactor approve ID` and decide on what it says now.",
    "TOO_MANY_PENDING": "Decide or cancel what is waiting (`enactor list --status PENDING_APPROVAL`).",
}


class Refused(Failure):
    """The server answered with a problem document (RFC 9457)."""

    def __init__(self, message: str, status: int, problem: dict[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem


class Api:
    """The HTTP API of one server.

    Args:
        to: the server and the token; those in force when absent.
    """

    def __init__(self, to: Access | None = None) -> None:
        self.to = to or access()

    def get(self, path: str, **parameters: object) -> Any:
        """The answer to a GET; parameters that are None are left out."""
        return self.call("GET", path, parameters=parameters)

    def whole(self, path: str) -> Any:
        """The answer to the GET of a listing, with the items of all its pages."""
        answer = page = self.get(path)
        while isinstance(page, dict) and page.get("next_token"):
            page = self.get(path, limit=100, next_token=page["next_token"])
            answer["items"] += understood(page, Page).items
        return {**answer, "next_token": None} if isinstance(answer, dict) else answer

    def post(self, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Any:
        """The answer to a POST."""
        return self.call("POST", path, body=body, headers=headers)

    def put(self, path: str, body: object) -> Any:
        """The answer to a PUT."""
        return self.call("PUT", path, body=body)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        parameters: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Sends one request, never twice, and returns the answer's JSON.

        Raises:
            Refused: the server said no.
            Failure: it could not be reached, or its answer is not Enactor's.
        """
        import httpx

        sent = {key: _text(value) for key, value in (parameters or {}).items() if value is not None}
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        extra = {"content-type": "application/json", **(headers or {})} if content is not None else headers or {}
        with self._connection(httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS)) as connection, self._reaching(method):
            response = connection.request(method, path, params=sent, content=content, headers=dict(extra))
        self._require_success(response)
        return self._json(response)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        parameters: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        idle_seconds: float | None = _SECONDS,
    ) -> Iterator[httpx.Response]:
        """A GET whose answer is read as it comes.

        Args:
            idle_seconds: how long nothing may come; None waits for ever.

        Raises:
            Refused, Failure: as `call`.
        """
        import httpx

        sent = {key: _text(value) for key, value in (parameters or {}).items() if value is not None}
        timeout = httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS, read=idle_seconds)
        with (
            self._connection(timeout) as connection,
            self._reaching("GET"),
            connection.stream("GET", path, params=sent, headers=dict(headers or {})) as response,
        ):
            if not response.is_success:
                response.read()
            self._require_success(response)
            yield response

    def _connection(self, timeout: httpx.Timeout) -> httpx.Client:
        import httpx

        headers = {"accept": "application/json", "user-agent": "enactor-cli"}
        if self.to.token:
            headers["authorization"] = f"Bearer {self.to.token}"
        # A proxy of the environment is for the world outside, not for a server on this machine.
        return httpx.Client(
            base_url=self.to.url,
            headers=headers,
            timeout=timeout,
            trust_env=not self.to.loopback,
            follow_redirects=False,
        )

    @contextmanager
    def _reaching(self, method: str) -> Iterator[None]:
        import httpx

        url = self.to.url
        try:
            yield
        except httpx.ConnectError:
            raise Failure(
                f"Nothing answers at {url}. Start a server with `enactor serve`, or set ENACTOR_URL to where one is."
            ) from None
        except httpx.TimeoutException:
            more = "" if method == "GET" else " It may have been done all the same: look before you repeat it."
            raise Failure(f"{url} did not answer in time.{more}") from None
        except httpx.HTTPError as error:
            more = "" if method == "GET" else " It may have been done all the same: look before you repeat it."
            raise Failure(f"The connection to {url} broke ({type(error).__name__}).{more}") from None

    def _require_success(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        try:
            problem = response.json()
        except ValueError:
            problem = None
        if not isinstance(problem, dict) or "error_code" not in problem:
            raise Failure(f"{self.to.url} answered {response.status_code}, and not as Enactor does: check ENACTOR_URL.")
        raise Refused(_line(problem, response), response.status_code, problem)

    def _json(self, response: httpx.Response) -> Any:
        if response.status_code == 204 or not response.content:
            return None
        try:
            return response.json()
        except ValueError:
            raise Failure(f"The answer of {self.to.url} is not Enactor's: check ENACTOR_URL.") from None


def segment(text: str) -> str:
    """A path segment, with everything escaped that could end it."""
    return quote(text, safe=":*")


def _text(value: object) -> Any:
    if isinstance(value, list | tuple):
        return [_text(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line(problem: dict[str, Any], response: httpx.Response) -> str:
    code = str(problem.get("error_code"))
    said = one_line(str(problem.get("detail") or problem.get("title") or "Refused.").rstrip())
    parts = [said if said.endswith((".", "!", "?")) else f"{said}."]
    if current := problem.get("current_digest"):
        parts.append(f"The current digest is {current}.")
    if advice := _ADVICE.get(code):
        parts.append(advice)
    if wait := response.headers.get("retry-after"):
        parts.append(f"Try again in {wait} s.")
    if response.status_code >= 500 and problem.get("trace_id"):
        parts.append(f"Its trace is {problem['trace_id']}.")
    return f"{' '.join(parts)} [{code}]"

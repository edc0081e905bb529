"""An OpenID Connect issuer: a real HTTP server on loopback with discovery, a key set and keys to sign with."""

import asyncio
import base64
import contextlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from enactor.settings import IssuerSettings

Signer = ECKey | RSAKey | OKPKey | OctKey


def ec_key(kid: str = "ec-1", curve: str = "P-256") -> ECKey:
    """A new EC key."""
    return ECKey.generate_key(curve, {"kid": kid})


class _Registry(jws.JWSRegistry):
    """Signs with whatever a test asks for, allowed or not."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


def sign(header: dict[str, Any], claims: Any, key: Signer) -> str:
    """A signed token of exactly this header and these claims."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jws.serialize_compact(header, payload, key, registry=_Registry(strict_check_header=False))


def sign_with_secret(header: dict[str, Any], claims: Any, secret: bytes) -> str:
    """A token signed by HMAC under any bytes, made by hand: libraries refuse to use a public key so."""
    encoded = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims))
    signature = base64.urlsafe_b64encode(hmac.digest(secret, encoded, "sha256")).rstrip(b"=")
    return f"{encoded.decode()}.{signature.decode()}"


class Issuer:
    """The server. `keys` are those it publishes; `fails` and `redirects` make it misbehave.

    Attributes:
        fetches: how often the key set was asked for.
        gate: cleared, it holds answers back until it is set.
    """

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.fetches = 0
        self.asked: list[str] = []
        self.fails = False
        self.redirects: str | None = None
        self.body: bytes | None = None
        self.gate = threading.Event()
        self.gate.set()
        self._arrived = threading.Semaphore(0)
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                issuer._arrived.release()
                issuer.gate.wait(10)
                status, body = issuer._answer(self.path)
                self.send_response(status)
                if status == 302 and issuer.redirects:
                    self.send_header("location", issuer.redirects)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                # Whoever asked may have heard enough.
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.named = self.url
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def _answer(self, path: str) -> tuple[int, bytes]:
        if self.fails:
            return 500, b"{}"
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps({"issuer": self.named, "jwks_uri": f"{self.url}/keys"}).encode()
        if path == "/keys":
            self.fetches += 1
            if self.redirects:
                return 302, b""
            return 200, self.body if self.body is not None else json.dumps({"keys": self.keys}).encode()
        return 404, b""

    async def arrival(self) -> None:
        """Returns when one more request has arrived than was waited for before."""
        await asyncio.to_thread(self._arrived.acquire, timeout=10)

    def publish(self, *keys: Signer) -> None:
        """Publishes the public parts of these keys, and no others."""
        self.keys = [dict(key.as_dict(private=False)) for key in KeySet(list(keys)).keys]

    def settings(self, **changes: Any) -> IssuerSettings:
        """What a server that trusts this issuer has in its settings."""
        given: dict[str, Any] = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "audiences": ["enactor-api"],
            "tenants": ["acme", "globex"],
            "agent_clients": ["planner-client"],
            "algorithms": ["RS256", "PS256", "ES256", "EdDSA"],
        }
        given |= changes
        return IssuerSettings.model_validate({name: value for name, value in given.items() if value is not None})

    def claims(self, now_ms: int, **changes: Any) -> dict[str, Any]:
        """The claims of a person's token; a change to None leaves the claim out."""
        given: dict[str, Any] = {
            "iss": self.url,
            "sub": "ana",
            "aud": "enactor-api",
            "iat": now_ms // 1000,
            "exp": now_ms // 1000 + 600,
            "tenant_id": "acme",
            "account_ids": ["*"],
            "roles": ["approver"],
            "azp": "web-app",
            "amr": ["pwd", "otp"],
        }
        given |= changes
        return {name: value for name, value in given.items() if value is not None}

    def close(self) -> None:
        """Stops the server."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

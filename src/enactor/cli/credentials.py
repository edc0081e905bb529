"""Where the client commands send their requests, and the token they carry."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from enactor.cli.failures import Failure

DEFAULT_URL: Final = "http://127.0.0.1:8420"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Access(Struct, frozen=True):
    """A server's address and the token for it; no token when nobody logged in."""

    url: str
    token: str | None

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine."""
        return urlsplit(self.url).hostname in _LOOPBACK


def access() -> Access:
    """From `ENACTOR_URL` and `ENACTOR_TOKEN`, else from what `enactor login` saved, else the default address.

    Raises:
        Failure: an address or a token is not of its form, or the saved file is not private.
    """
    saved = _saved()
    url = checked_url(os.environ.get("ENACTOR_URL") or str(saved.get("url") or DEFAULT_URL))
    token = os.environ.get("ENACTOR_TOKEN") or saved.get("tokens", {}).get(url)
    return Access(url, checked_token(token, "ENACTOR_TOKEN") if token else None)


def checked_url(url: str) -> str:
    """The address without a trailing slash. Raises `Failure` when it is none, or would send tokens in the clear."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise Failure("The address of a server looks like https://enactor.example or http://127.0.0.1:8420.")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise Failure("Over http:// a token could be read on its way; use https:// for any server but this machine's.")
    return url.rstrip("/")


def checked_token(token: str, what: str) -> str:
    """The token, if it has the form of a JWT. Raises `Failure`, which never repeats it."""
    token = token.strip()
    if _TOKEN.fullmatch(token) is None:
        raise Failure(f"{what} is not a token: a JWT has three parts separated by dots.")
    return token


def credentials_file() -> Path:
    """The file of `enactor login`, under the XDG configuration directory."""
    base = os.environ.get("XDG_CONFIG_HOME")
    directory = Path(base) if base and Path(base).is_absolute() else Path(os.environ.get("HOME") or "/") / ".config"
    return directory / "enactor" / "credentials.json"


def save(url: str, token: str) -> Path:
    """Remembers a server's token, readable by its owner alone, and makes the server the default one."""
    saved = _saved()
    return _write({"url": url, "tokens": {**saved.get("tokens", {}), url: token}})


def forget(url: str) -> bool:
    """Forgets a server's token. Returns whether there was one."""
    saved = _saved()
    tokens = dict(saved.get("tokens", {}))
    known = tokens.pop(url, None) is not None
    if known:
        _write({"url": saved.get("url"), "tokens": tokens})
    return known


def _write(content: dict[str, Any]) -> Path:
    path = credentials_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes the file with mode 0600, and the rename replaces whatever was there, wider modes included.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".credentials-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _saved() -> dict[str, Any]:
    path = credentials_file()
    try:
        if path.stat().st_mode & 0o077:
            raise Failure(f"{path} may be read by others: run chmod 600 on it, and log in again if others had access.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise Failure(f"{path} is damaged; remove it and log in again.") from None
    if not isinstance(content, dict) or not isinstance(content.get("tokens", {}), dict):
        raise Failure(f"{path} is damaged; remove it and log in again.")
    return content

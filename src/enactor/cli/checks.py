"""What `enactor doctor` looks at. No secret's value is shown; a store of an older version is brought up to date."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from enactor.cli.findings import Finding, State
from enactor.cli.targets import connectors, mcp_servers
from enactor.domain.errors import EnactorError
from enactor.gateway.egress import EgressRules
from enactor.gateway.secrets import read_reference
from enactor.http.dev_issuer import DevIssuer
from enactor.http.keys import fetcher, fits, new_client, usable_keys
from enactor.outbox.webhooks import signing_keys
from enactor.settings.values import has_password, without_password

if TYPE_CHECKING:
    from enactor.settings import IssuerSettings, Loaded, Settings

_SECONDS: Final = 5.0
_LITTLE_SPACE: Final = 1024**3
_NO_SPACE: Final = 64 * 1024**2
_MOST_SKEW_SECONDS: Final = 60
_FIRST_PLAUSIBLE: Final = 1_735_689_600
"""2025-01-01: a clock before it was never set."""

_NEEDS: Final = {"postgresql": ("psycopg", "postgres"), "dynamodb": ("boto3", "aws"), "restate": ("restate", "restate")}


async def check(loaded: Loaded, environment: Mapping[str, str]) -> list[Finding]:
    """Every check, in the order in which they are printed."""
    settings = loaded.settings
    running = await _server(settings)
    findings = [
        running,
        *_disk(settings),
        await _store(settings, running),
        *_password(settings),
        *_ledger(settings, running),
        *_extras(settings),
    ]
    findings += await connectors(settings, environment)
    findings += await mcp_servers(settings)
    findings += await _issuers(settings)
    findings += [*_dev_key(settings), *_webhooks(settings), *_secrets(settings, environment), _clock()]
    return findings


async def _server(settings: Settings) -> Finding:
    """Whether the port is free, or an Enactor answers there."""
    url = f"http://{_bracketed(settings.host)}:{settings.port}"
    if settings.port == 0:
        return Finding("server", State.OK, "takes a free port when it starts")
    try:
        async with httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client:
            response = await client.get(f"{url}/readyz")
    except httpx.ConnectError:
        return _free(settings, url)
    except httpx.HTTPError:
        return Finding("server", State.PROBLEM, f"something that is no Enactor listens at {url}", "choose another port")
    kind = response.headers.get("content-type", "")
    if "json" not in kind:
        return Finding("server", State.PROBLEM, f"something that is no Enactor listens at {url}", "choose another port")
    if response.is_success:
        late = ", but its log is late" if b'"ledger":"late"' in response.content else ""
        return Finding("server", State.OK, f"running and ready at {url}{late}")
    return Finding("server", State.PROBLEM, f"running at {url}, and not ready", f"see {url}/readyz")


def _free(settings: Settings, url: str) -> Finding:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as error:
        return Finding("server", State.PROBLEM, f"cannot listen at {url}: {error.strerror}", "change host or port")
    return Finding("server", State.OK, f"not running; {url} is free")


async def _store(settings: Settings, server: Finding) -> Finding:
    """Whether the store can be opened. A running server has a SQLite file for itself and answers for it."""
    from enactor.system import SystemClock
    from enactor.wiring import open_store

    path = settings.address.path
    if path is not None and not path.exists():
        return Finding("store", State.OK, f"{path} does not exist yet; the first start makes it")
    if path is not None and server.text.startswith("running"):
        return Finding("store", server.state, f"{path} is open in the running server", server.advice)
    try:
        store = await open_store(settings.store, SystemClock())
        try:
            info = await store.info()
        finally:
            await store.close()
    except EnactorError as error:
        return Finding("store", State.PROBLEM, error.message, "see docs/troubleshooting.md")
    found = (
        f"{info.kind} at {info.location}, schema version {info.schema_version}, {info.ledger_entries} ledger entries"
    )
    if settings.address.scheme == "memory":
        return Finding(
            "store", State.WARNING, found, "everything is lost when the process ends: set a store that lasts"
        )
    return Finding("store", State.OK, found)


def _ledger(settings: Settings, server: Finding) -> Iterator[Finding]:
    """Who signs the ledger's head, and whether the log of a running server is late."""
    from enactor.domain.note import Signer
    from enactor.wiring.ledger import key_file, load_or_make

    references = settings.ledger.signing_keys
    path = key_file(settings.store)
    try:
        for reference in references:
            Signer.parse(read_reference(reference, os.environ, "ledger.signing_keys"), "ledger.signing_keys")
        if not references and path is not None and path.exists():
            load_or_make(path)
    except EnactorError as error:
        yield Finding("ledger", State.PROBLEM, error.message, "no checkpoint can be signed until it is right")
        return
    if references:
        yield Finding("ledger", State.OK, f"signed by {', '.join(references)}, as {settings.ledger.origin}/TENANT")
    elif path is not None:
        made = "" if path.exists() else ", which the first checkpoint makes"
        text = f"signed by {path}{made}: whoever can change the database can sign"
        state = State.OK if settings.dev else State.WARNING
        yield Finding(
            "ledger", state, text, "" if settings.dev else "set ledger.signing_keys, and keep checkpoints elsewhere"
        )
    elif settings.address.scheme == "memory":
        yield Finding("ledger", State.OK, "signed by a key that is gone with the process")
    else:
        yield Finding("ledger", State.PROBLEM, "nobody can sign checkpoints", "set ledger.signing_keys")
    if "its log is late" in server.text:
        text = "an entry has been in no log for a minute or more"
        yield Finding("ledger", State.PROBLEM, text, "see the server's log and docs/ledger.md")


def _password(settings: Settings) -> Iterator[Finding]:
    if has_password(settings.store):
        text = f"{without_password(settings.store)} holds a password"
        yield Finding("store", State.WARNING, text, "keep it in a password file (PGPASSFILE) instead")


def _disk(settings: Settings) -> Iterator[Finding]:
    path = settings.address.path
    if path is None:
        return
    directory = path.absolute().parent
    if not directory.is_dir():
        yield Finding("disk", State.PROBLEM, f"there is no directory {directory}", "make it")
        return
    free = shutil.disk_usage(directory).free
    shown = f"{free / 1024**3:,.1f} GiB free in {directory}"
    if free < _NO_SPACE:
        yield Finding("disk", State.PROBLEM, shown, "make room: nothing can be made durable without")
    elif free < _LITTLE_SPACE:
        yield Finding("disk", State.WARNING, shown, "make room soon")
    else:
        yield Finding("disk", State.OK, shown)


def _extras(settings: Settings) -> Iterator[Finding]:
    for need in (settings.address.scheme, settings.engine):
        module, extra = _NEEDS.get(need, ("", ""))
        if module and importlib.util.find_spec(module) is None:
            yield Finding("extras", State.PROBLEM, f"{need} needs {module}", f"pip install 'enactor[{extra}]'")


async def _issuers(settings: Settings) -> list[Finding]:
    if settings.issuers:
        found = await asyncio.gather(*(_issuer(issuer) for issuer in settings.issuers))
        return [finding for findings in found for finding in findings]
    if settings.dev:
        return [Finding("issuers", State.OK, "none but the development issuer")]
    return [
        Finding("issuers", State.PROBLEM, "none: nobody can log in", "name an [[issuers]], or try it with serve --dev")
    ]


async def _issuer(issuer: IssuerSettings) -> list[Finding]:
    """Whether an issuer's keys can be had, in the way in which the server gets them."""
    dates: list[str] = []

    async def remember(response: httpx.Response) -> None:
        dates.append(response.headers.get("date", ""))

    async with new_client() as client:
        client.event_hooks = {"response": [remember]}
        try:
            documents = issuer.jwks["keys"] if issuer.jwks is not None else await fetcher(issuer, lambda: client)()
        except (httpx.HTTPError, httpx.InvalidURL, EnactorError, ValueError) as error:
            why = str(error) if type(error) is ValueError else type(error).__name__
            text = f"{issuer.issuer}: its keys cannot be had: {why}"
            return [Finding("issuer", State.PROBLEM, text, "check the address, and that this machine reaches it")]
    keys = usable_keys(documents)
    fitting = [key for key in keys if any(fits(key, algorithm) for algorithm in issuer.algorithms)]
    if not fitting:
        text = f"{issuer.issuer}: none of its {len(keys)} keys is for {', '.join(issuer.algorithms)}"
        return [Finding("issuer", State.PROBLEM, text, "set algorithms to what it signs with")]
    return [Finding("issuer", State.OK, f"{issuer.issuer}: {len(fitting)} keys"), *_skew(issuer.issuer, dates)]


def _skew(name: str, dates: list[str]) -> Iterator[Finding]:
    """How far this machine's clock is from an issuer's: tokens are good between two instants of theirs."""
    try:
        theirs = parsedate_to_datetime(dates[-1]).timestamp()
    except (IndexError, ValueError):
        return
    apart = abs(time.time() - theirs)
    if apart > _MOST_SKEW_SECONDS:
        text = f"{apart:.0f} s away from that of {name}"
        yield Finding("clock", State.WARNING, text, "synchronise it (NTP): tokens may be refused, and expiries be off")


def _dev_key(settings: Settings) -> Iterator[Finding]:
    if not settings.dev:
        return
    path = settings.dev_key_file
    if not path.exists():
        yield Finding("dev key", State.OK, f"{path} does not exist yet; serve --dev makes it")
        return
    try:
        DevIssuer.load(path)
    except EnactorError as error:
        yield Finding("dev key", State.PROBLEM, error.message, "as it says")
    else:
        yield Finding("dev key", State.OK, str(path))


def _webhooks(settings: Settings) -> Iterator[Finding]:
    """Whether the server would call the webhooks' addresses; it does not start with one that it may not call."""
    rules = EgressRules(development=settings.dev)
    for webhook in settings.webhooks:
        try:
            rules.check_url(webhook.url)
        except EnactorError as error:
            yield Finding("webhook", State.PROBLEM, error.message, "name an address that may be called")
        else:
            yield Finding("webhook", State.OK, f"{webhook.url} for tenant {webhook.tenant}")


def _secrets(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    named = [
        (f"secret {tenant}/{name}", reference, False)
        for tenant, secrets in settings.secrets.items()
        for name, reference in secrets.items()
    ]
    named += [(f"webhook secret of {webhook.url}", webhook.secret, True) for webhook in settings.webhooks]
    for what, reference, signs in named:
        try:
            value = read_reference(reference, environment, what)
            if signs:
                signing_keys(value, what)
        except EnactorError as error:
            yield Finding("secret", State.PROBLEM, error.message, f"provide {reference}, or correct the reference")
            continue
        kind, _, place = reference.partition(":")
        if kind == "file" and Path(place).stat().st_mode & 0o007:
            yield Finding("secret", State.WARNING, f"{what}: {place} may be read by anybody", f"chmod 600 {place}")
        else:
            yield Finding("secret", State.OK, f"{what}: {reference}")


def _clock() -> Finding:
    if time.time() < _FIRST_PLAUSIBLE:
        return Finding("clock", State.PROBLEM, "this machine's clock was never set", "set it: expiries depend on it")
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return Finding(
            "clock",
            State.WARNING,
            "this system has no clock that counts suspended time",
            "keep the machine from sleeping, or max_pause_seconds longer than it sleeps",
        )
    return Finding("clock", State.OK, "set, with a clock that counts suspended time")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

"""The keys that sign the ledger's logs: those of the settings, or one that is made beside the database."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enactor.domain.errors import ConfigurationError
from enactor.domain.note import Signer, parse_key
from enactor.gateway.secrets import read_reference
from enactor.ports.clock import Randomness
from enactor.service import LogOptions
from enactor.settings import Settings, store_address

Signers = Callable[[], Sequence[Signer]]

_SUFFIX: Final = ".ledger-key.pem"


def log_options(settings: Settings, randomness: Randomness) -> LogOptions:
    """How the settings say that logs are named and signed."""
    ledger = settings.ledger
    if ledger.signing_keys:
        signers: Signers | None = signers_of(ledger.signing_keys)
    elif settings.address.scheme == "memory":
        signers = ephemeral_signers(randomness)
    else:
        signers = default_signers(settings.store)
    return LogOptions(
        origin=ledger.origin,
        signers=signers,
        witnesses=tuple(map(parse_key, ledger.witnesses)),
    )


def signers_of(references: Sequence[str]) -> Signers:
    """The keys behind references, read each time, so that a file can be replaced while the server runs."""

    def read() -> Sequence[Signer]:
        return [
            Signer.parse(read_reference(reference, os.environ, "ledger.signing_keys"), "ledger.signing_keys")
            for reference in references
        ]

    return read


def default_signers(store: str) -> Signers | None:
    """The key beside a SQLite database, which is made when it is first needed.

    None for stores without a folder of their own: there the settings have to name a key. A store in memory has a key
    that lives as long as the process; see `ephemeral_signers`.
    """
    path = key_file(store)
    if path is None:
        return None
    found: list[Signer] = []

    def read() -> Sequence[Signer]:
        if not found:
            found.append(load_or_make(path))
        return found

    return read


def key_file(store: str) -> Path | None:
    """Where the key of a store is that the settings name none for."""
    path = store_address(store).path
    return None if path is None else path.with_name(path.name + _SUFFIX)


def ephemeral_signers(randomness: Randomness) -> Signers:
    """A key that is made when it is first needed, and gone with the process."""
    found: list[Signer] = []

    def read() -> Sequence[Signer]:
        if not found:
            found.append(Signer(Ed25519PrivateKey.from_private_bytes(randomness.bytes(32))))
        return found

    return read


def load_or_make(path: Path) -> Signer:
    """The key in a file, which is made when there is none. Two processes that make it at once end with the same key.

    Raises:
        ConfigurationError: it cannot be read or made, others can read it, or it holds no such key.
    """
    try:
        if not path.exists():
            write_key(path, Signer(Ed25519PrivateKey.generate()))
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigurationError(f"Others can read the ledger's key {path}: run chmod 600 {path}.")
        return Signer.parse(path.read_text("ascii"), str(path))
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} holds no key in PEM.") from None
    except OSError as error:
        raise ConfigurationError(f"The ledger's key {path} cannot be read or made: {error.strerror}.") from None


def write_key(path: Path, signer: Signer) -> bool:
    """Writes a key beside `path` and links it there, so that it is never seen half-written and never replaces another.

    Returns whether it was this key that got there.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(signer.pem())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(beside)
            return True
        return False
    finally:
        beside.unlink(missing_ok=True)

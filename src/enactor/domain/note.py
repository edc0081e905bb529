"""Signed notes, and the checkpoints of logs in them (C2SP `signed-note`, `tlog-checkpoint`, `tlog-cosignature`).

A note is a text, an empty line, and signatures, one a line. Anybody can add a signature without disturbing the others;
whoever reads a note looks only at signatures of keys that he knows. Signatures are Ed25519 (RFC 8032). A log signs the
text itself; a witness signs the text together with the time at which he saw it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from msgspec import Struct

from enactor.domain.errors import ConfigurationError, InvalidInput
from enactor.domain.merkle import HASH_BYTES

_DASH: Final = "\u2014 "
_MOST_SIGNATURES: Final = 100
_LONGEST: Final = 64 * 1024
_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_TIME: Final = struct.Struct(">Q")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class Algorithm(IntEnum):
    """The byte that tells kinds of keys apart."""

    LOG = 0x01
    WITNESS = 0x04


class Signature(Struct, frozen=True):
    """One line of signature: who it names, the first four bytes of the key's hash, and the signature."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        """The line, with its line feed."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"


class Note(Struct, frozen=True):
    """A note in its parts. `text` ends with a line feed."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(signature.line() for signature in self.signatures)}"

    def signed_also(self, signatures: Iterable[Signature]) -> Note:
        """The note with further signatures; one that is there already is not added again."""
        return Note(self.text, (*self.signatures, *(it for it in signatures if it not in self.signatures)))


def parse_note(note: str) -> Note:
    """A note's parts. Raises `InvalidInput` when it is none."""
    text, separator, lines = note.rpartition("\n\n")
    found = []
    for line in lines.splitlines() if separator and len(note) <= _LONGEST and note.endswith("\n") else ():
        name, space, encoded = line.removeprefix(_DASH).partition(" ")
        value = _base64(encoded)
        if not line.startswith(_DASH) or not space or not is_key_name(name) or len(value) <= 4:
            raise InvalidInput("This is not a signed note: a line after the empty one is no signature.")
        found.append(Signature(name, value[:4], value[4:]))
    if not 1 <= len(found) <= _MOST_SIGNATURES or any(ord(char) < 0x20 and char != "\n" for char in text):
        raise InvalidInput("This is not a signed note: a text, an empty line, and 1 to 100 signatures.")
    return Note(text + "\n", tuple(found))


class VerifierKey(Struct, frozen=True):
    """A public key under a name, as notes know it."""

    name: str
    algorithm: Algorithm
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256 over the name, a line feed, the algorithm's byte and the key."""
        return hashlib.sha256(f"{self.name}\n".encode() + bytes([self.algorithm]) + self.public).digest()[:4]

    def __str__(self) -> str:
        encoded = base64.b64encode(bytes([self.algorithm]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def has_signed(self, note: Note) -> int | None:
        """Whether one of the note's signatures is this key's and good.

        Returns:
            None when there is none; else when it was made, in seconds since the epoch: 0 for a log, which does not say.
        """
        for signature in note.signatures:
            if (signature.name, signature.key_id) != (self.name, self.key_id):
                continue
            signed, time = note.text.encode(), 0
            value = signature.value
            if self.algorithm is Algorithm.WITNESS:
                if len(value) != _TIME.size + _SIGNATURE_BYTES:
                    continue
                (time,) = _TIME.unpack(value[: _TIME.size])
                signed, value = cosigned_text(note.text, time), value[_TIME.size :]
            try:
                Ed25519PublicKey.from_public_bytes(self.public).verify(value, signed)
            except (InvalidSignature, ValueError):
                continue
            return int(time)
        return None


def parse_key(text: str) -> VerifierKey:
    """A verifier key `name+key id+base64`. Raises `InvalidInput` when it is none, or its id is not its own."""
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    value = _base64(encoded)
    known = {algorithm.value for algorithm in Algorithm}
    if not is_key_name(name) or len(value) != 1 + _KEY_BYTES or value[0] not in known:
        raise InvalidInput("This is not a verifier key: name+key id+base64, of an Ed25519 key.")
    key = VerifierKey(name, Algorithm(value[0]), value[1:])
    if key.key_id.hex() != key_id:
        raise InvalidInput("The verifier key's id does not fit its name and key: it was copied wrongly.")
    return key


def cosigned_text(text: str, time: int) -> bytes:
    """What a witness signs (C2SP `cosignature/v1`). `time` is in seconds since the epoch."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


class Signer:
    """A private key that signs notes, under whatever name it is asked to."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public: Final = key.public_key().public_bytes_raw()

    @classmethod
    def parse(cls, pem: str, what: str) -> Signer:
        """The key in a PEM (PKCS #8), as `openssl genpkey -algorithm ed25519` writes it.

        Args:
            what: how a message names the key.

        Raises:
            ConfigurationError: it holds no such key. The message repeats nothing of it.
        """
        try:
            key = load_pem_private_key(pem.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigurationError(
                f"{what}: it holds no Ed25519 private key in PEM; `enactor ledger keygen FILE` makes one."
            )
        return cls(key)

    def pem(self) -> str:
        """The private key as `parse` reads it."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def verifier(self, name: str, algorithm: Algorithm = Algorithm.LOG) -> VerifierKey:
        """The public key under a name."""
        return VerifierKey(name, algorithm, self.public)

    def sign(self, name: str, text: str) -> Signature:
        """A log's signature."""
        return Signature(name, self.verifier(name).key_id, self._key.sign(text.encode()))

    def cosign(self, name: str, text: str, time: int) -> Signature:
        """A witness's signature. `time` is in seconds since the epoch."""
        value = _TIME.pack(time) + self._key.sign(cosigned_text(text, time))
        return Signature(name, self.verifier(name, Algorithm.WITNESS).key_id, value)


def public_pem(public: bytes) -> str:
    """A public key in PEM."""
    key = Ed25519PublicKey.from_public_bytes(public)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_key_in(text: str, name: str) -> VerifierKey:
    """The log's key in a text that is a verifier key, or a PEM with a public key, which is then taken for `name`'s.

    Raises:
        InvalidInput: it is neither.
    """
    if "-----BEGIN" not in text:
        return parse_key(text)
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidInput("The PEM holds no Ed25519 public key.")
    return VerifierKey(name, Algorithm.LOG, key.public_bytes_raw())


class Checkpoint(Struct, frozen=True):
    """The head of a log as a note says it. `root` is 32 bytes."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note's text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint in a note's text; extension lines are not looked at. Raises `InvalidInput` when it is none."""
    lines = text.split("\n")
    root = _base64(lines[2]) if len(lines) >= 4 else b""
    if len(root) != HASH_BYTES or not lines[0] or _SIZE.fullmatch(lines[1]) is None:
        raise InvalidInput("This note is not a checkpoint: origin, size and root, one a line.")
    return Checkpoint(lines[0], int(lines[1]), root)


def signed_checkpoint(checkpoint: Checkpoint, signers: Sequence[Signer]) -> Note:
    """The checkpoint as a note that every key signs, under the log's own name."""
    text = checkpoint.text()
    return Note(text, tuple(signer.sign(checkpoint.origin, text) for signer in signers))


def is_key_name(name: str) -> bool:
    """Whether a key can have that name: no white space, no plus sign."""
    return bool(name) and "+" not in name and not any(char.isspace() for char in name)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""

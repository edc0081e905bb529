"""What auditors and witnesses bring along: keys, and checkpoints that they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from enactor.cli.options import read_text, wrong_usage
from enactor.domain.errors import InvalidInput

if TYPE_CHECKING:
    from enactor.domain.note import VerifierKey


def keys_of(given: Iterable[str], option: str) -> tuple[Callable[[str], VerifierKey], ...]:
    """Public keys, each a verifier key or a file with one, or with a PEM. What is none is wrong usage."""
    return tuple(_key_of(text, option) for text in given)


def _key_of(text: str, option: str) -> Callable[[str], VerifierKey]:
    from enactor.domain.note import public_key_in

    held = read_text(text, option) if "+" not in text or Path(text).is_file() else text

    def make(log: str) -> VerifierKey:
        return public_key_in(held, log)

    try:
        make("any")
    except InvalidInput as error:
        wrong_usage(error.message, option)
    return make


def notes_of(paths: Iterable[str], option: str) -> tuple[str, ...]:
    """The checkpoints in files. What is none is wrong usage."""
    notes = tuple(read_text(path, option) for path in paths)
    for text in notes:
        try:
            size_of(text)
        except InvalidInput as error:
            wrong_usage(error.message, option)
    return notes


def size_of(text: str) -> int:
    """The size in a checkpoint. Raises `InvalidInput` when it is none."""
    from enactor.domain.trust import seen

    return seen(text)[1].size

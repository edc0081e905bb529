"""A witness: cosigns a log's checkpoints, and never two logs that are not one (C2SP `tlog-cosignature`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from enactor.domain.errors import InvalidInput
from enactor.domain.merkle import is_consistent
from enactor.domain.note import Checkpoint, Note, Signer, VerifierKey, parse_checkpoint, parse_note


class Fork(InvalidInput):
    """The log does not continue what the witness has seen: somebody has changed it, or shows two of it."""

    error_code = "LOG_FORKED"


class Witness:
    """Somebody outside, who remembers what he has seen of a log.

    Args:
        name: his name.
        signer: his private key.
        log_keys: the log's public keys as he got them, each made for a log's name.
    """

    def __init__(self, name: str, signer: Signer, log_keys: Sequence[Callable[[str], VerifierKey]]) -> None:
        self._name = name
        self._signer = signer
        self._log_keys = tuple(log_keys)

    def sizes(self, before: str | None, newest: str) -> tuple[int, int] | None:
        """Between which sizes he needs a consistency proof; None when he needs none.

        Args:
            before: the checkpoint that he saw last, if any.
            newest: the one that he is asked to cosign.

        Raises:
            InvalidInput: one of them is no checkpoint, they are of different logs, or the log's key has not signed.
            Fork: the newest is smaller than what he has seen, or of the same size with another root.
        """
        _, now = self._read(newest)
        if before is None:
            return None
        _, then = self._read(before)
        if then.origin != now.origin:
            raise InvalidInput(f"You have seen the log {then.origin}; this is {now.origin}. Keep a state for each.")
        if now.size < then.size or (now.size == then.size and now.root != then.root):
            raise Fork(f"The log had {then.size} entries when you saw it last, and is not what it was: it was forked.")
        return None if then.size in (0, now.size) else (then.size, now.size)

    def cosign(self, before: str | None, newest: str, proof: Sequence[bytes], time: int) -> str:
        """The newest checkpoint with his signature.

        Args:
            proof: the consistency proof between the sizes that `sizes` asked for.
            time: seconds since the epoch.

        Raises:
            InvalidInput, Fork: as `sizes`; the proof does not hold.
        """
        asked = self.sizes(before, newest)
        note, now = self._read(newest)
        if asked is not None and before is not None:
            _, then = self._read(before)
            if not is_consistent(then.size, then.root, now.size, now.root, proof):
                raise Fork(f"The log does not continue the {then.size} entries that you have seen: it was forked.")
        return str(note.signed_also([self._signer.cosign(self._name, note.text, time)]))

    def _read(self, text: str) -> tuple[Note, Checkpoint]:
        note = parse_note(text)
        checkpoint = parse_checkpoint(note.text)
        if all(key(checkpoint.origin).has_signed(note) is None for key in self._log_keys):
            raise InvalidInput("The log's key that you gave has not signed this checkpoint.")
        return note, checkpoint

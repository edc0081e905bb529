"""Artifacts as files: one directory per tenant, each file named by the SHA-256 of what is in it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from enactor.domain.errors import StoreFailed

_REFERENCE: Final = re.compile(r"artifact/sha256/([0-9a-f]{64})")


class FileArtifacts:
    """Artifacts below a directory, which is made when something is first put there.

    Args:
        directory: where; readable by its owner alone.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def put(self, tenant_id: str, content: bytes) -> str:
        name = hashlib.sha256(content).hexdigest()
        try:
            await asyncio.to_thread(self._write, self._place(tenant_id, name), content)
        except OSError as error:
            raise StoreFailed(f"An artifact cannot be kept in {self._directory}: {error.strerror}.") from None
        return f"artifact/sha256/{name}"

    async def read(self, tenant_id: str, reference: str) -> bytes | None:
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            return None
        try:
            content = await asyncio.to_thread(self._place(tenant_id, found[1]).read_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreFailed(f"An artifact in {self._directory} cannot be read: {error.strerror}.") from None
        if hashlib.sha256(content).hexdigest() != found[1]:
            raise StoreFailed(f"An artifact in {self._directory} is not what was put there.")
        return content

    async def forget(self, tenant_id: str, reference: str) -> None:
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            return
        try:
            await asyncio.to_thread(self._place(tenant_id, found[1]).unlink, missing_ok=True)
        except OSError as error:
            raise StoreFailed(f"An artifact in {self._directory} cannot be deleted: {error.strerror}.") from None

    def _place(self, tenant_id: str, name: str) -> Path:
        # A tenant's id is not a safe file name everywhere; its hash is.
        return self._directory / hashlib.sha256(tenant_id.encode()).hexdigest()[:32] / name

    def _write(self, place: Path, content: bytes) -> None:
        if place.exists():
            return
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Linked to its name only when it is whole and on the disk: a crash leaves no half of an artifact.
        descriptor, beside = tempfile.mkstemp(dir=place.parent, prefix=".")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(beside, place)
        finally:
            Path(beside).unlink(missing_ok=True)
        parent = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)

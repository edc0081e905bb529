"""Artifacts: answers that are too large for a record, put aside and referred to."""

from __future__ import annotations

from typing import Protocol


class ArtifactStore(Protocol):
    """Keeps bytes under a name made from them. What a tenant put is found by that tenant alone."""

    async def put(self, tenant_id: str, content: bytes) -> str:
        """Keeps `content`, durably, and returns its reference. The same content has the same reference.

        Raises:
            StoreFailed: it cannot be kept.
        """
        ...

    async def forget(self, tenant_id: str, reference: str) -> None:
        """Deletes what a reference stands for, if the tenant has put it there. Raises `StoreFailed`."""
        ...

    async def read(self, tenant_id: str, reference: str) -> bytes | None:
        """What a reference stands for, or None when the tenant has put no such thing."""
        ...

"""Objects in target systems, as records refer to them."""

from __future__ import annotations

from msgspec import Struct


class ObjectRef(Struct, frozen=True, kw_only=True):
    """An object in the target system. `version` is the one it was left at, where the target tells."""

    system: str
    object_type: str
    object_id: str
    object_url: str | None = None
    version: str | None = None

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes it the same object, whatever its URL or version."""
        return (self.system, self.object_type, self.object_id)

"""Where secrets come from. They are read at the last moment and kept nowhere."""

from __future__ import annotations

from typing import Protocol


class SecretSource(Protocol):
    """Reads secrets by name."""

    def read(self, tenant_id: str, name: str) -> str:
        """The secret's value. Raises `ConfigurationError` that names the secret, never its value."""
        ...

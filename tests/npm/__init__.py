"""What `scripts/npm.sh` installed."""

from pathlib import Path

_HERE = Path(__file__).parent


def binary(name: str) -> str:
    """The path of an installed command."""
    found = _HERE / "node_modules" / ".bin" / name
    assert found.exists(), f"{name} is not installed: run sh scripts/npm.sh"
    return str(found)

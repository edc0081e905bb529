"""What programs under test leave behind. Standard library alone, because every peer's environment runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Writes a report whole or not at all."""
    begun = path.with_suffix(".tmp")
    begun.write_text(json.dumps(report))
    begun.replace(path)


def read_report(path: Path) -> dict[str, Any]:
    """A report, or nothing when the program has not come so far."""
    return json.loads(path.read_text()) if path.exists() else {}

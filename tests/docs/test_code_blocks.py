"""The Python in the documents runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("quickstart", "connectors", "ledger", "testing", "undo")),
]


def blocks() -> list[tuple[str, str]]:
    """Each block with the page and number it is known by."""
    found = []
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer(page.read_text()), start=1):
            found.append((f"{page.name}-{number}", match[1]))
    return found


@pytest.mark.parametrize(("name", "code"), blocks(), ids=[name for name, _ in blocks()])
def test_block_runs(name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who copies the block gets what the page says."""
    monkeypatch.chdir(tmp_path)
    exec(compile(code, name, "exec"), {"__name__": f"docs_{name}"})  # noqa: S102 - our own pages


def test_readme_shows_the_example_that_is_in_the_tree() -> None:
    """The README's first program is examples/quickstart.py, and short."""
    code = BLOCK.search((ROOT / "README.md").read_text())
    assert code is not None
    assert code[1] == (ROOT / "examples" / "quickstart.py").read_text()
    assert len([line for line in code[1].splitlines() if line.strip()]) <= 22

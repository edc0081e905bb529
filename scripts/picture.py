"""Draws docs/images/demo.svg: what `make demo` shows on a terminal. Run it when the demonstration changes."""

import re
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from enactor.demo.run import run

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "demo.svg"
# Fonts are the reader's own: the picture fetches nothing.
_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def main() -> int:
    """Runs the demonstration and draws it; 1 when it did not hold."""
    console = Console(record=True, width=112, highlight=False, force_terminal=True, color_system="truecolor")
    with tempfile.TemporaryDirectory() as folder:
        status = run(Path(folder) / ".demo", console)
    if status == 0:
        PICTURE.parent.mkdir(exist_ok=True)
        text = console.export_svg(title="make demo", code_format=_FORMAT).replace(folder, ".")
        PICTURE.write_text(text, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())

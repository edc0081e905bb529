"""Runs the kit: `python -m killpoints [--quick] [SECTION ...]`. Exit status 1 when Enactor did not keep a promise.

Each section prints its table and writes its receipt. Without a section all of them run; `--quick` runs a sample of each
that Enactor alone needs, in seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from killpoints import receipt
from killpoints.sections import SECTIONS, Options


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(
        prog="killpoints", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="a sample, in seconds")
    parser.add_argument(
        "--results", type=Path, help="where receipts are written (default, unless quick: the kit's own)"
    )
    parser.add_argument("--at-once", type=int, default=12, help="cells under way at the same time")
    given = parser.parse_args()
    if unknown := set(given.sections) - set(SECTIONS):
        parser.error(f"there is no section {min(unknown)}")
    results = given.results or (None if given.quick else receipt.RESULTS)
    kept = True
    for name in given.sections or SECTIONS:
        section = SECTIONS[name]
        if given.quick and not section.quick:
            continue
        folder = Path(tempfile.mkdtemp(prefix=f"killpoints-{name}-"))
        options = Options(quick=given.quick, at_once=given.at_once, folder=folder)
        print(f"\n## {section.title}\n", flush=True)
        found = asyncio.run(section.run(options))
        print(found.text, flush=True)
        if results is not None:
            receipt.write(results, name, {"holds": found.holds, "seconds": round(found.seconds), **found.content})
        if not found.holds:
            print(f"\nNOT KEPT; what was left behind is in {folder}", flush=True)
            kept = False
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

"""Runs the kit: `python -m killpoints [--quick] [SECTION ...]`. Exit status 1 when Enactor did not keep a promise.

Each section prints its table and writes its receipt, also on the way. Without a section all of them run; `--quick` runs
a sample of each that Enactor alone needs, in seconds. `--minutes` begins nothing new after so many minutes, and
`--resume` goes on with what the receipts do not have yet; the exit status is 3 when there is more to run.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

from killpoints import receipt
from killpoints.options import Options
from killpoints.sections import SECTIONS

INCOMPLETE = 3
"""The exit status when all promises were kept so far, and there is more to run."""


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
    parser.add_argument("--at-once", type=int, default=16, help="cells under way at the same time")
    parser.add_argument("--resume", action="store_true", help="go on where the receipts end")
    parser.add_argument("--minutes", type=float, help="begin nothing new after so many minutes")
    given = parser.parse_args()
    # What runs in this process raises on purpose.
    logging.basicConfig(level=logging.ERROR)
    if unknown := set(given.sections) - set(SECTIONS):
        parser.error(f"there is no section {min(unknown)}")
    results = given.results or (None if given.quick else receipt.RESULTS)
    until = time.monotonic() + given.minutes * 60 if given.minutes else None
    kept = complete = True
    for name in given.sections or SECTIONS:
        section = SECTIONS[name]
        if given.quick and not section.quick:
            continue
        folder = Path(tempfile.mkdtemp(prefix=f"killpoints-{name}-"))
        options = Options(given.quick, given.at_once, folder, results, given.resume, until)
        if options.before(name).get("complete"):
            continue
        print(f"\n## {section.title}\n", flush=True)
        found = asyncio.run(section.run(options))
        print(f"{found.text}\n\n{found.seconds:,.0f} seconds.", flush=True)
        options.keep(name, found)
        complete = complete and found.complete
        if not found.holds:
            print(f"\nNOT KEPT; what was left behind is in {folder}", flush=True)
            kept = False
        if options.out_of_time:
            complete = complete and name == list(given.sections or SECTIONS)[-1]
            break
    return (0 if complete else INCOMPLETE) if kept else 1


if __name__ == "__main__":
    sys.exit(main())

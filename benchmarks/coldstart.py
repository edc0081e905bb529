"""What importing each AWS handler costs: `python -m benchmarks.coldstart [--times N]`.

Processor time of the import alone, each in an interpreter of its own, with byte code there as in a package: the least
and the median of N. Exit status 1 when the least one of a handler is above the budget. AWS's own start of an
environment comes on top, and is not measured here.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from deploy.aws.generator.functions import FUNCTIONS

BUDGET_SECONDS = 0.4
_MEASURE = """
import sys, time
began = time.process_time()
import {module}
print(time.process_time() - began, len(sys.modules))
"""


def measured(module: str) -> tuple[float, int]:
    """The seconds of one import, and how many modules are loaded then."""
    command = [sys.executable, "-c", _MEASURE.format(module=module)]
    seconds, modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), int(modules)


def main() -> int:
    """Measures and prints. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=7, help="imports of each handler")
    times = parser.parse_args().times
    worst = 0.0
    print("| handler | least | median | modules |\n| ------- | ----: | -----: | ------: |")
    for module in sorted({function.handler.rpartition(".")[0] for function in FUNCTIONS}):
        measured(module)  # makes the byte code, where it is not there yet
        found = [measured(module) for _ in range(times)]
        least, median = min(found)[0], statistics.median(seconds for seconds, _ in found)
        worst = max(worst, least)
        print(f"| {module.rpartition('.')[2]} | {least * 1000:.0f} ms | {median * 1000:.0f} ms | {found[0][1]} |")
    print(f"\nThe budget is {BUDGET_SECONDS * 1000:.0f} ms each.")
    return 0 if worst <= BUDGET_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())

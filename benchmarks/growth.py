"""What grows: memory and rate over many executions in one process, and the rate over a file that is already large.

`python -m benchmarks.growth` runs 100,000 executions in one process; `--finished 1000000` first fills a file with that
many finished executions and compares the rate with that of an empty file in the same run. Prints a table and saves
`benchmarks/results/growth.json`.
"""

import argparse
import asyncio
import gc
import json
import resource
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from benchmarks.enactor_driver import Bench, open_bench
from benchmarks.filling import fill_by_copying
from benchmarks.harness import RESULTS, machine
from benchmarks.measure import positive
from benchmarks.store import Workload
from enactor.wiring import process

_SLICE = 10_000
_IN_FLIGHT = 64


def resident_mib() -> float:
    """Memory this process holds now, in MiB (Linux; elsewhere its highest so far)."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


async def timed(bench: Bench, count: int) -> float:
    """Executions per second over `count` executions, proposed beforehand."""
    await bench.prepare_quickly(count)
    gc.collect()
    begun = time.perf_counter()
    await bench.run(count)
    return count / (time.perf_counter() - begun)


async def one_process(path: Path, count: int) -> dict[str, float]:
    """Runs `count` executions in slices; compares the first slice with the last, and memory before with after."""
    bench = await open_bench(f"sqlite:///{path}", _IN_FLIGHT)
    await timed(bench, _SLICE)
    rates, before = [], resident_mib()
    for number in range(count // _SLICE):
        rates.append(await timed(bench, _SLICE))
        _progress(f"{(number + 1) * _SLICE:,} executions: {rates[-1]:,.0f}/s, {resident_mib():,.0f} MiB")
    after = resident_mib()
    await bench.assembly.stop(10)
    return {
        "executions": count,
        "first_per_second": round(rates[0], 1),
        "last_per_second": round(rates[-1], 1),
        "ratio": round(rates[-1] / rates[0], 3),
        "memory_grew_mib": round(after - before, 1),
    }


async def large_file(folder: Path, finished: int) -> dict[str, float]:
    """Compares the rate over a file with `finished` executions with the rate over an empty one, in alternation.

    The file is filled by copying, see `benchmarks.filling`: running a million would take a multiple of the time.
    """
    large, empty = folder / "large.db", folder / "empty.db"
    workload = Workload(tenant_id="default", account_id="acme")
    begun = time.perf_counter()
    await fill_by_copying(large, workload, finished)
    _progress(f"filled in {time.perf_counter() - begun:,.0f} s")
    rates: dict[str, list[float]] = {"large": [], "empty": []}
    for _ in range(3):
        for name, path in (("empty", empty), ("large", large)):
            bench = await open_bench(f"sqlite:///{path}", _IN_FLIGHT)
            await timed(bench, _SLICE // 5)
            rates[name].append(await timed(bench, _SLICE))
            await bench.assembly.stop(10)
            _progress(f"{name}: {rates[name][-1]:,.0f}/s")
        empty.unlink()
    medians = {name: sorted(found)[1] for name, found in rates.items()}
    return {
        "finished_before": finished,
        "empty_per_second": round(medians["empty"], 1),
        "large_per_second": round(medians["large"], 1),
        "ratio": round(medians["large"] / medians["empty"], 3),
        "file_mib": round(large.stat().st_size / 2**20, 1),
    }


def _run(work: Coroutine[Any, Any, dict[str, float]]) -> dict[str, float]:
    process.let_threads_in()
    with asyncio.Runner(loop_factory=process.loop_factory()) as runner:
        return runner.run(work)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def main() -> int:
    """Run, print, save; 1 when a target is missed and `--strict` is given."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=positive, default=100_000, metavar="N", help="executions in one process")
    options.add_argument("--finished", type=int, default=0, metavar="N", help="finished executions in the large file")
    options.add_argument("--dir", type=Path, default=None, metavar="D", help="where the files go; removed afterwards")
    options.add_argument("--strict", action="store_true", help="exit 1 when a target is missed")
    given = options.parse_args()
    result: dict[str, object] = {"machine": machine()}
    held = True
    with tempfile.TemporaryDirectory(dir=given.dir) as name:
        grown = _run(one_process(Path(name) / "growth.db", given.count))
        result["one_process"] = grown
        held &= grown["ratio"] >= 0.9 and grown["memory_grew_mib"] < 64
        print(
            f"{grown['executions']:,} executions in one process: first {_SLICE:,} {grown['first_per_second']:,.0f}/s, "
            f"last {grown['last_per_second']:,.0f}/s (ratio {grown['ratio']:.2f}, target 0.90); "
            f"memory grew by {grown['memory_grew_mib']:.1f} MiB (target < 64)"
        )
        if given.finished:
            filled = _run(large_file(Path(name), given.finished))
            result["large_file"] = filled
            held &= filled["ratio"] >= 0.9
            print(
                f"{filled['finished_before']:,} finished executions in the file ({filled['file_mib']:,.0f} MiB): "
                f"{filled['large_per_second']:,.0f}/s against {filled['empty_per_second']:,.0f}/s in an empty one "
                f"(ratio {filled['ratio']:.2f}, target 0.90)"
            )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "growth.json").write_text(json.dumps(result, indent=2) + "\n")
    return 1 if given.strict and not held else 0


if __name__ == "__main__":
    sys.exit(main())

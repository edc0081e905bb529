"""How fast an auditor checks a ledger, and what keeping its log costs.

A bundle of a whole ledger is written to a file, entry by entry as a server writes it, and checked by a process that has
nothing else; its memory is read when a tenth of the entries is checked and when all are. The floor is what SHA-256
alone takes for the same hashes. Then the log of so many entries is made as the sequencer makes it, and the tiles of a
proof are counted.

    python -m benchmarks.ledger [--entries 1000000] [--accounts 20] [--rounds 3] [--profile]
"""

import argparse
import cProfile
import hashlib
import json
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.measure import positive
from benchmarks.render import plain
from benchmarks.store import resident
from enactor.conformance.builders import Builder
from enactor.domain.evidence import FORMAT, CheckpointLine, End, Header, PublishedKey, Scope, TileLine
from enactor.domain.ledger import GENESIS, LedgerEvent, chained
from enactor.domain.log import LogHead, LogRow, leaf_of
from enactor.domain.merkle import EMPTY_ROOT, TILE_WIDTH, Growth, inclusion_places, tiles_for
from enactor.domain.note import Checkpoint, Signer, signed_checkpoint
from enactor.domain.verification import verify_bundle
from enactor.service.evidence import line_of
from enactor.service.sequencer import grown
from enactor.system import SystemClock, SystemRandomness

_HASHES = 5
"""SHA-256 computations an entry: its own hash, its commitment, its leaf, and the tree's node; and a half for more."""


def entries(count: int, accounts: int) -> Iterator[bytes]:
    """Entry lines as an execution leaves them, spread over accounts."""
    build = Builder(SystemClock(), SystemRandomness())
    intents = [build.approved(account_id=f"account-{number}") for number in range(accounts)]
    events = (LedgerEvent.EXECUTION_STARTED, LedgerEvent.WRITE_PERMITTED, LedgerEvent.ACTION_EXECUTED)
    data = {"owner": "exec-ai_0", "idempotency_key": "0" * 64, "call_no": 1, "tool_name": "internal.create_note"}
    heads: dict[str, tuple[int, str]] = {}
    for number in range(count):
        intent = intents[number % accounts]
        seq, head = heads.get(intent.account_id, (0, GENESIS))
        made = build.entry(intent, events[number % 3], data=data, run_number=1).record
        entry = chained(made, seq=seq + 1, sequence=seq + 1, prev_hash=head, position=number + 1)
        heads[intent.account_id] = (entry.seq, entry.hash)
        yield msgspec.json.encode(line_of(entry)) + b"\n"


def write(path: Path, count: int, accounts: int) -> str:
    """Writes a bundle. Returns the verifier key that signed it."""
    growth, tile = Growth(), b""
    with tempfile.TemporaryFile() as body:
        lines: list[bytes] = []
        leaves: list[bytes] = []
        for number, line in enumerate(entries(count, accounts), 1):
            lines.append(line)
            leaves.append(leaf_of(msgspec.json.decode(line)["hash"]))
            if len(leaves) == TILE_WIDTH or number == count:
                tile = b"".join(leaves)
                body.write(msgspec.json.encode(TileLine(index=(number - 1) // TILE_WIDTH, hashes=tile)) + b"\n")
                body.write(b"".join(lines))
                growth.add(leaves)
                growth.changed.clear()
                lines.clear()
                leaves.clear()
        signer = Signer(Ed25519PrivateKey.generate())
        root = growth.root()
        key = str(signer.verifier("bench/acme"))
        note = str(signed_checkpoint(Checkpoint("bench/acme", count, root), [signer]))
        header = Header(
            format=FORMAT,
            tenant_id="acme",
            log="bench/acme",
            exported_at="",
            scope=Scope(),
            size=count,
            root=root.hex(),
            keys=(PublishedKey(key=key, valid_from=""),),
        )
        with path.open("wb") as file:
            file.write(msgspec.json.encode(header) + b"\n")
            file.write(msgspec.json.encode(CheckpointLine(note=note, made_at="")) + b"\n")
            body.seek(0)
            while piece := body.read(1 << 20):
                file.write(piece)
            file.write(msgspec.json.encode(End(entries=count)) + b"\n")
    return key


def check(path: Path) -> dict[str, float]:
    """Checks a bundle in this process. Returns seconds, CPU seconds, entries, and memory on the way and at the end."""
    early: list[float] = []

    def progress(count: int) -> None:
        if count >= 100_000 and not early:
            early.append(resident())

    wall, cpu = time.perf_counter(), time.process_time()
    with path.open("rb") as file:
        report = verify_bundle(file, progress=progress)
    took, used = time.perf_counter() - wall, time.process_time() - cpu
    if not report.ok:
        raise SystemExit(f"the bundle is at fault: {report.faults[0]}")
    return {
        "wall": took,
        "cpu": used,
        "entries": report.entries,
        "early": early[0] if early else resident(),
        "late": resident(),
    }


def floor(count: int) -> float:
    """CPU seconds of SHA-256 alone for as many hashes."""
    block = bytes(500)
    began = time.process_time()
    for _ in range(count * _HASHES):
        hashlib.sha256(block).digest()
    return time.process_time() - began


def sequence(count: int) -> tuple[float, int]:
    """CPU microseconds an entry of growing a log in steps of 2,048, and the tiles that the widest of proofs needs."""
    hashed = hashlib.sha256(b"").hexdigest()
    head, edge = LogHead(tenant_id="acme", root=EMPTY_ROOT.hex()), {}
    began = time.process_time()
    for first in range(0, count, 2_048):
        rows = [LogRow(at + 1, "acme", f"{at:032x}", hashed, "") for at in range(first, min(count, first + 2_048))]
        command, edge = grown(head, edge, rows)
        head = command.head
    used = time.process_time() - began
    step = max(1, count // 1_000)
    widest = max(len(tiles_for(inclusion_places(index, count))) for index in range(0, count, step))
    return used / count * 1e6, widest


def main() -> int:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(prog="benchmarks.ledger", description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=positive, default=1_000_000)
    parser.add_argument("--accounts", type=positive, default=20)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--profile", action="store_true", help="where the time of a check goes")
    parser.add_argument("--check", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.check is not None:
        print(json.dumps(check(options.check)))
        return 0
    with tempfile.TemporaryDirectory() as directory:
        bundle = Path(directory) / "bundle.jsonl"
        write(bundle, options.entries, options.accounts)
        size = bundle.stat().st_size
        if options.profile:
            profiler = cProfile.Profile()
            profiler.runcall(check, bundle)
            pstats.Stats(profiler).sort_stats("tottime").print_stats(15)
            return 0
        found = []
        for number in range(options.rounds):
            command = [sys.executable, "-m", "benchmarks.ledger", "--check", str(bundle)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(json.loads(answer.stdout))
            rate = options.entries / found[-1]["cpu"]
            print(f"round {number + 1}: {rate:,.0f} entries/s of CPU", file=sys.stderr)
        bare = floor(min(options.entries, 200_000)) * options.entries / min(options.entries, 200_000)
    cpu = statistics.median(one["cpu"] for one in found)
    wall = statistics.median(one["wall"] for one in found)
    each, widest = sequence(options.entries)
    rows = [
        ["what", "figure"],
        ["entries", f"{options.entries:,} in {options.accounts} chains, {size / 1024**2:,.0f} MiB"],
        ["checked", f"{options.entries / wall:,.0f}/s, {options.entries / cpu:,.0f}/s of one core's time"],
        ["SHA-256 alone", f"{bare / cpu:.0%} of that time"],
        ["memory", f"{found[0]['early']:,.0f} MiB at a tenth, {max(one['late'] for one in found):,.0f} MiB at the end"],
        ["growing the log", f"{each:.1f} µs an entry"],
        ["tiles of a proof", f"{widest} at most"],
    ]
    print(plain(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Puts the receipts into the README and docs/proof.md: `python -m killpoints.publish`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from killpoints.receipt import HEADER, RESULTS, table

TITLES = {
    "matrix": "Killed and paused at every fault point",
    "recovery": "Killed again during recovery",
    "random": "Killed at random times under load",
    "faults": "The disk, the database, the clock, deliveries and races",
    "aws": "Enactor on AWS (simulated: DynamoDB emulator, our interpreter): functions that die at every point",
}
ROOT = Path(__file__).resolve().parents[1]
_FIGURES = (
    "wanted",
    "found",
    "duplicates",
    "losses",
    "did_not_know",
    "did_not_know_needlessly",
    "said_something_false",
)


def put(page: Path, text: str) -> None:
    """Replaces what stands between a page's `killpoints:begin` and `killpoints:end` comments."""
    marked = re.compile(r"(<!-- killpoints:begin -->\n).*?(<!-- killpoints:end -->)", re.DOTALL)
    before = page.read_text(encoding="utf-8")
    if not marked.search(before):
        raise SystemExit(f"publish: {page.name} has no place for the receipts")
    page.write_text(marked.sub(lambda found: f"{found[1]}{text.strip()}\n{found[2]}", before), encoding="utf-8")


def _receipt(name: str) -> dict[str, Any] | None:
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def _cells(row: dict[str, Any]) -> list[str]:
    return [f"{row[name]:,}" for name in _FIGURES]


def _sum(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: sum(row[name] for row in rows) for name in _FIGURES}


def _grouped(rows: list[dict[str, Any]], by: str) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row[by], []).append(row)
    return groups


def _enactor(titles: dict[str, str]) -> list[str]:
    """Tables of what was done to Enactor: a line for each promise of a tool."""
    parts = []
    for name, title in titles.items():
        receipt = _receipt(name)
        if receipt is None or name == "faults":
            continue
        lines = [[tool, *_cells(_sum(rows))] for tool, rows in _grouped(receipt["rows"], "tool").items()]
        lines.append(["all", *_cells(receipt["all"])])
        counted = receipt.get("cells")
        what = (
            f"{sum(counted.values()):,} cells: {', '.join(f'{n:,} {k}' for k, n in sorted(counted.items()))}"
            if counted
            else f"{receipt['kills']} kills in {receipt['rounds']} rounds"
        )
        parts.append(f"**{title}** ({what}).\n\n{table(('the tool', *HEADER), lines)}")
    return parts


def _summary(titles: dict[str, str]) -> list[str]:
    """One line for each kind of proof."""
    lines = []
    for name, title in titles.items():
        receipt = _receipt(name)
        if receipt is not None:
            lines.append([title, _times(receipt), *_cells(receipt["all"])])
    return (
        [f"**Enactor**, by what was done to it.\n\n{table(('what was done', 'times', *HEADER), lines)}"]
        if lines
        else []
    )


def _times(receipt: dict[str, Any]) -> str:
    if "cells" in receipt:
        return f"{sum(receipt['cells'].values()):,}"
    if "kills" in receipt:
        return f"{receipt['kills']:,}"
    return f"{sum(row['times'] for row in receipt['rows']):,}"


def _faults() -> list[str]:
    receipt = _receipt("faults")
    if receipt is None:
        return []
    lines = [[row["what"], f"{row['times']:,}", *_cells(row)] for row in receipt["rows"]]
    return [f"**{TITLES['faults']}.**\n\n{table(('what goes wrong', 'times', *HEADER), lines)}"]


def _peers() -> list[str]:
    receipt = _receipt("peers")
    if receipt is None:
        return []
    kills = {each["subject"]: each["kills"] for each in receipt["subjects"]}
    lines = [
        [row["subject"], row["version"], row["promise"], str(kills[row["subject"]]), *_cells(row)]
        for row in receipt["rows"]
    ]
    header = ("subject", "version", "the world's promise", "kills", *HEADER)
    return [f"**Beside its peers**, killed at random times.\n\n{table(header, lines, words=3)}"]


def _model() -> list[str]:
    receipt = _receipt("model")
    if receipt is None:
        return []
    lines = []
    for row in receipt["rows"]:
        what = "with all rules"
        if "left_out" in row:
            what = f"without: {row['left_out']}"
        elif "not_assumed" in row:
            what = f"not assumed: {row['not_assumed']}"
        lines.append([what, row["semantics"], row["violation"] or "nothing wrong", f"{row['states']:,}"])
    return [f"**The model.**\n\n{table(('rules', 'semantics', 'what goes wrong', 'states'), lines, words=3)}"]


def _measured() -> str:
    receipts = {name: receipt for name in (*TITLES, "model", "peers") if (receipt := _receipt(name))}
    if not receipts:
        return "Nothing was measured yet."
    measured_on = next(iter(receipts.values()))["measured_on"]
    took = ", ".join(f"{name} {receipt['seconds']:,} s" for name, receipt in receipts.items())
    parts = [name for name, receipt in receipts.items() if not receipt.get("complete", True)]
    unfinished = f" Not run to their end: {', '.join(parts)}." if parts else ""
    return f"Measured on: {_machine(measured_on)}. It took: {took}.{unfinished}"


def _machine(measured_on: dict[str, Any]) -> str:
    return (
        f"Enactor {measured_on['enactor']}, Python {measured_on['python']}, SQLite {measured_on['sqlite']}, "
        f"{measured_on['system']}, {measured_on['cores']} cores"
    )


def main() -> int:
    """Publish what there is."""
    put(ROOT / "README.md", "\n\n".join([*_summary(TITLES), *_peers(), _measured()]))
    parts = [*_summary(TITLES), *_enactor(TITLES), *_faults(), *_peers(), *_model(), _measured()]
    put(ROOT / "docs" / "proof.md", "\n\n".join(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())

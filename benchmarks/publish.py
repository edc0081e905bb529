"""Puts the results of the last runs into the READMEs and docs/scaling.md: `python -m benchmarks.publish`."""

import json
import re
import sys
from pathlib import Path

from benchmarks.harness import RESULTS, ROOT


def put(page: Path, name: str, text: str) -> None:
    """Replaces what stands between a page's `name:begin` and `name:end` comments."""
    marked = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
    before = page.read_text(encoding="utf-8")
    if not marked.search(before):
        raise SystemExit(f"publish: {page.name} has no place for {name}")
    page.write_text(marked.sub(lambda found: f"{found[1]}{text.strip()}\n{found[2]}", before), encoding="utf-8")


def sentences() -> str:
    """What `growth` and `http_api` found, as list items."""
    items = []
    growth, http = RESULTS / "growth.json", RESULTS / "http.json"
    if growth.exists():
        found = json.loads(growth.read_text())
        one = found["one_process"]
        items.append(
            f"- {one['executions']:,} executions in one process: the last 10,000 ran at {one['ratio']:.0%} of the "
            f"first 10,000's rate, and memory grew by {one['memory_grew_mib']:.0f} MiB."
        )
        if large := found.get("large_file"):
            items.append(
                f"- With {large['finished_before']:,} finished executions in the file: {large['ratio']:.0%} of an "
                f"empty file's rate ({large['large_per_second']:,.0f}/s against {large['empty_per_second']:,.0f}/s)."
            )
    if http.exists():
        found = json.loads(http.read_text())
        items.append(
            f"- `POST /v1/intents`, 32 connections: {found['intents']['per_second']:,.0f} requests/s on "
            f"{found['intents']['share_of_one_core']:.0%} of one core. `POST /v1/intents/batch`: "
            f"{found['batch']['per_second']:,.0f} items/s on {found['batch']['share_of_one_core']:.0%}."
        )
    return "\n".join(items)


def main() -> int:
    """Publish what there is."""
    embedded = (RESULTS / "embedded.md").read_text(encoding="utf-8").strip()
    machine = json.loads((RESULTS / "embedded.json").read_text())["machine"]
    shown = ", ".join(str(value) for value in machine.values())
    note = f"Measured on: {shown}. Medians; every system in the same run, in alternation."
    put(ROOT / "README.md", "benchmark", "\n\n".join(part for part in (embedded, sentences(), note) if part))
    profile = RESULTS / "profile.md"
    if profile.exists():
        put(ROOT / "docs" / "scaling.md", "profile", profile.read_text(encoding="utf-8"))
    http_profile = RESULTS / "http_profile.md"
    if http_profile.exists():
        put(ROOT / "docs" / "scaling.md", "http-profile", http_profile.read_text(encoding="utf-8"))
    replay = RESULTS / "replay.md"
    if replay.exists():
        put(ROOT / "docs" / "scaling.md", "replay", replay.read_text(encoding="utf-8"))
    gateway = RESULTS / "gateway.md"
    if gateway.exists():
        measured = json.loads((RESULTS / "gateway.json").read_text())
        shown = ", ".join(str(value) for value in measured["machine"].values())
        pairs = (
            f"{measured['pairs']['http']:,} pairs of calls over HTTP, {measured['pairs']['in_process']:,} in process"
        )
        text = f"{gateway.read_text(encoding='utf-8')}\nMeasured on: {shown}; {pairs}."
        put(ROOT / "benchmarks" / "README.md", "gateway", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Exporting the ledger and checking bundles."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from enactor.domain.ledger import GENESIS, LedgerEntry, LedgerEvent, chained, record
from enactor.service.evidence import FORMAT, Footer, Header
from tests.cli.support import Canned, problem, run


def entries(count: int) -> list[LedgerEntry]:
    """A chain."""
    made: list[LedgerEntry] = []
    for seq in range(1, count + 1):
        written = record(
            entry_id=f"e{seq}",
            salt=bytes(16),
            tenant_id="acme",
            account_id="acc-1",
            event_type=LedgerEvent.ACTION_APPROVED,
            timestamp="2026-11-23T15:42:00.123Z",
            actor="dev:ana",
            trace_id="t" * 32,
            decision_trace_id="t" * 32,
            data={"comment": f"comment {seq}"},
        )
        made.append(chained(written, seq=seq, sequence=0, prev_hash=made[-1].hash if made else GENESIS, position=seq))
    return made


def bundle(chain: list[LedgerEntry], *, complete: bool = True) -> bytes:
    """The chain as an exported bundle."""
    header = Header(format=FORMAT, tenant_id="acme", exported_at="t", complete_chains=complete)
    heads = [("acc-1", chain[-1].seq, chain[-1].hash)] if chain else []
    return b"".join(
        msgspec.json.encode(line) + b"\n" for line in (header, *chain, Footer(entries=len(chain), heads=heads))
    )


def test_a_bundle_that_is_in_order_verifies() -> None:
    """What was checked, that it is in order, and what such a check cannot know."""
    Path("l.jsonl").write_bytes(bundle(entries(3)))
    result = run("ledger", "verify", "l.jsonl")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(
        "checked: 3 entries in 1 chain\nNothing was altered, removed, inserted or reordered"
    )
    assert "Self-consistent only: without a checkpoint held outside" in result.stdout
    found = json.loads(run("ledger", "verify", "l.jsonl", "--json").stdout)
    assert (found["ok"], found["entries"], found["chains"]) == (True, 3, 1)


def altered(chain: list[LedgerEntry]) -> bytes:
    """The second comment changed."""
    return bundle(chain).replace(b"comment 2", b"comment X")


def removed(chain: list[LedgerEntry]) -> bytes:
    """The second entry left out."""
    return bundle([chain[0], chain[2]])


def reordered(chain: list[LedgerEntry]) -> bytes:
    """The second and third entry exchanged."""
    return bundle([chain[0], chain[2], chain[1]])


@pytest.mark.parametrize("change", [altered, removed, reordered])
def test_the_first_faulty_entry_is_named(change: Callable[[list[LedgerEntry]], bytes]) -> None:
    """Altered, removed and reordered are each found at entry 2, with exit status 1."""
    Path("l.jsonl").write_bytes(change(entries(3)))
    result = run("ledger", "verify", "l.jsonl")
    assert result.exit_code == 1
    assert "FAULT in the chain acme/acc-1, entry 2: " in result.stdout
    assert "Nothing was altered" not in result.stdout
    assert result.stderr.startswith("enactor: The ledger is not what was written: entry 2 of the chain acme/acc-1: ")
    assert json.loads(run("ledger", "verify", "l.jsonl", "--json").stdout)["ok"] is False


def test_a_selection_says_what_it_leaves_open() -> None:
    """Gaps in a selection are no faults, and the reader is told so."""
    Path("l.jsonl").write_bytes(bundle(entries(1), complete=False))
    assert "only some entries were given" in run("ledger", "verify", "l.jsonl").stdout


def test_standard_input_is_a_bundle_too() -> None:
    """A pipe from export to verify works."""
    assert run("ledger", "verify", "-", given=bundle(entries(2)).decode()).exit_code == 0


@pytest.mark.parametrize("content", [b"", b"{}\n", b"not json\n", bundle(entries(2)).rsplit(b"\n", 2)[0] + b"\n"])
def test_a_file_that_is_no_whole_bundle_is_one_line(content: bytes) -> None:
    """An empty, foreign or cut-off file is refused, and never said to be in order."""
    Path("l.jsonl").write_bytes(content)
    result = run("ledger", "verify", "l.jsonl")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [("missing.jsonl",), ("l.jsonl", "--store", "memory://"), ("l.jsonl", "--key", "k.pem")]
)
def test_what_cannot_be_checked_so_is_bad_usage(arguments: tuple[str, ...]) -> None:
    """A missing file, a bundle and a store at once, and a key for a signature that no bundle has yet."""
    Path("l.jsonl").write_bytes(bundle(entries(1)))
    assert run("ledger", "verify", *arguments).exit_code == 2


def test_a_store_that_is_not_there_is_not_made() -> None:
    """A misspelled path must not become an empty database in which everything is in order."""
    result = run("ledger", "verify", "--store", "sqlite:///none.db")
    assert (result.exit_code, result.stderr) == (1, "enactor: There is no database none.db.\n")
    assert list(Path().iterdir()) == []


def test_an_empty_memory_store_verifies() -> None:
    """Any store can be checked; an empty one has no entries."""
    assert run("ledger", "verify", "--store", "memory://").stdout.startswith("checked: 0 entries in 0 chains\n")


def test_export_to_a_pipe_is_the_bundle_and_nothing_else(api: Canned) -> None:
    """Bytes go through as they are; the count goes to standard error."""
    content = bundle(entries(3))
    api.on("GET", "/v1/ledger/export", content, content_type="application/jsonl")
    result = run("ledger", "export")
    assert result.exit_code == 0
    assert result.stdout_bytes == content
    assert result.stderr == "Exported 3 entries.\n"


def test_an_export_that_breaks_off_leaves_no_file(api: Canned) -> None:
    """A bundle appears under its name only once it is whole, and a refused one not at all."""
    Path("l.jsonl").write_text("an earlier one")
    content = bundle(entries(3))
    api.on("GET", "/v1/ledger/export", content, content_length=str(len(content) + 10), connection="close")
    api.on("GET", "/v1/ledger/export", problem(403, "FORBIDDEN", "This needs one of the roles: auditor."), 403)
    broken = run("ledger", "export", "-o", "l.jsonl")
    assert broken.exit_code == 1
    assert "broke" in broken.stderr
    assert run("ledger", "export", "-o", "l.jsonl").exit_code == 1
    assert [path.name for path in Path().iterdir()] == ["l.jsonl"]
    assert Path("l.jsonl").read_text() == "an earlier one"


def test_export_into_no_directory_is_bad_usage(api: Canned) -> None:
    """It is told before the server is asked."""
    assert run("ledger", "export", "-o", "nowhere/l.jsonl").exit_code == 2
    assert api.requests == []

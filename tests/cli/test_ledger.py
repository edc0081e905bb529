"""Exporting the ledger, checking bundles, signing, witnessing and erasing."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from enactor.domain.evidence import Scope
from enactor.domain.ledger import LedgerEntry
from enactor.domain.merkle import consistency_places, hashes_from
from enactor.domain.note import Algorithm, Signer, parse_key, parse_note, public_pem
from tests.bundles import KEY, LOG, OTHER, SIGNER, Tree, bundle, chains
from tests.cli.support import Canned, problem, run, start_on_terminal


def entries(count: int) -> list[LedgerEntry]:
    """A chain."""
    return chains(count)


def whole(chain: list[LedgerEntry], of: list[LedgerEntry] | None = None) -> bytes:
    """The chain as an exported bundle."""
    return b"".join(bundle(chain, tree_of=of))


def test_a_bundle_that_is_in_order_verifies() -> None:
    """What was checked, that it is in order, and what such a check cannot know."""
    Path("l.jsonl").write_bytes(whole(entries(3)))
    result = run("ledger", "verify", "l.jsonl")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(
        f"checked: 3 entries in 1 chain\nlog: 3 entries, root {Tree(entries(3)).root().hex()}\nsigned by: {KEY}\n"
        "Nothing was altered, removed, inserted or reordered"
    )
    assert "Self-consistent only: without a checkpoint held outside" in result.stdout
    found = json.loads(run("ledger", "verify", "l.jsonl", "--json").stdout)
    assert (found["ok"], found["entries"], found["chains"]) == (True, 3, 1)


def altered(chain: list[LedgerEntry]) -> bytes:
    """The second entry's data changed."""
    return whole(chain).replace(b'"number":2', b'"number":9')


def removed(chain: list[LedgerEntry]) -> bytes:
    """The second entry left out."""
    return whole([chain[0], chain[2]], chain)


def reordered(chain: list[LedgerEntry]) -> bytes:
    """The second and third entry exchanged."""
    return whole([chain[0], chain[2], chain[1]], chain)


@pytest.mark.parametrize("change", [altered, removed, reordered])
def test_the_first_faulty_entry_is_named(change: Callable[[list[LedgerEntry]], bytes]) -> None:
    """Altered, removed and reordered are each found at entry 2, with exit status 1."""
    Path("l.jsonl").write_bytes(change(entries(3)))
    result = run("ledger", "verify", "l.jsonl")
    assert result.exit_code == 1
    assert "FAULT in the chain acme/acc-1, entry 2 (" in result.stdout
    assert "Nothing was altered" not in result.stdout
    assert result.stderr.startswith("enactor: The ledger is not what was written: the chain acme/acc-1, entry 2 (")
    assert json.loads(run("ledger", "verify", "l.jsonl", "--json").stdout)["ok"] is False


def test_a_selection_says_what_it_leaves_open() -> None:
    """Gaps in a selection are no faults, and the reader is told so."""
    lines = bundle(entries(4), scope=Scope(action_intent_id="ai_x"), wanted=lambda it: it.seq != 2)
    Path("l.jsonl").write_bytes(b"".join(lines))
    assert "that none was left out is the exporter's word" in run("ledger", "verify", "l.jsonl").stdout


def test_a_held_checkpoint_makes_it_conclusive() -> None:
    """With key, checkpoint and witness, as texts or files, it says what they show; what they contradict is a fault."""
    chain = entries(5)
    note = parse_note(Tree(chain).note(3))
    cosigned = str(note.signed_also([OTHER.cosign("witness.example/w", note.text, 1_700_000_000)]))
    Path("held.txt").write_text(cosigned)
    Path("key.pem").write_text(public_pem(SIGNER.public))
    Path("witness.txt").write_text(f"{OTHER.verifier('witness.example/w', Algorithm.WITNESS)}\n")
    Path("l.jsonl").write_bytes(whole(chain))
    result = run(
        *["ledger", "verify", "l.jsonl", "--key", "key.pem", "--checkpoint", "held.txt", "--witness", "witness.txt"]
    )
    assert result.exit_code == 0, result.stderr
    assert "continues: your checkpoint of 3 entries\n" in result.stdout
    assert "cosigned by: witness.example/w, 3 entries, 2023-11-14T22:13:20.000Z\n" in result.stdout
    assert "Self-consistent only" not in result.stdout
    Path("l.jsonl").write_bytes(whole(chain[:2]))
    cut = run("ledger", "verify", "l.jsonl", "--key", KEY, "--checkpoint", "held.txt")
    assert cut.exit_code == 1
    assert "is of 3 entries, and this log ends after 2: removed at the end" in cut.stderr
    other = str(OTHER.verifier(LOG))
    assert "not signed by the key that you gave" in run("ledger", "verify", "l.jsonl", "--key", other).stderr


def test_on_a_terminal_there_is_a_bar() -> None:
    """And in a pipe there is none."""
    Path("l.jsonl").write_bytes(whole(entries(3)))
    assert "entries checked" in start_on_terminal("ledger", "verify", "l.jsonl")[1]
    assert "entries checked" not in run("ledger", "verify", "l.jsonl").output


def test_standard_input_is_a_bundle_too() -> None:
    """A pipe from export to verify works."""
    assert run("ledger", "verify", "-", given=whole(entries(2)).decode()).exit_code == 0


@pytest.mark.parametrize("content", [b"", b"{}\n", b"not json\n", whole(entries(2)).rsplit(b"\n", 2)[0] + b"\n"])
def test_a_file_that_is_no_whole_bundle_is_one_line(content: bytes) -> None:
    """An empty, foreign or cut-off file is refused, and never said to be in order."""
    Path("l.jsonl").write_bytes(content)
    result = run("ledger", "verify", "l.jsonl")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("missing.jsonl",),
        ("l.jsonl", "--store", "memory://"),
        ("l.jsonl", "--key", "l.jsonl"),
        ("l.jsonl", "--key", "missing"),
        ("l.jsonl", "--checkpoint", "l.jsonl"),
        ("l.jsonl", "--witness", "a+b+c"),
    ],
)
def test_what_cannot_be_checked_so_is_bad_usage(arguments: tuple[str, ...]) -> None:
    """A missing file, a bundle and a store at once, and keys and checkpoints that are none."""
    Path("l.jsonl").write_bytes(whole(entries(1)))
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
    content = whole(entries(3))
    api.on("GET", "/v1/ledger/export", content, content_type="application/jsonl")
    result = run("ledger", "export")
    assert result.exit_code == 0
    assert result.stdout_bytes == content
    assert result.stderr == "Exported 3 entries.\n"


def test_an_export_that_breaks_off_leaves_no_file(api: Canned) -> None:
    """A bundle appears under its name only once it is whole, and a refused one not at all."""
    Path("l.jsonl").write_text("an earlier one")
    content = whole(entries(3))
    api.on("GET", "/v1/ledger/export", content, content_length=str(len(content) + 10), connection="close")
    api.on("GET", "/v1/ledger/export", problem(403, "FORBIDDEN", "This needs one of the roles: auditor."), 403)
    broken = run("ledger", "export", "-o", "l.jsonl")
    assert broken.exit_code == 1
    assert "broke" in broken.stderr
    assert run("ledger", "export", "-o", "l.jsonl").exit_code == 1
    assert [path.name for path in Path().iterdir()] == ["l.jsonl"]
    assert Path("l.jsonl").read_text() == "an earlier one"


def test_an_export_can_be_narrowed(api: Canned) -> None:
    """By account, intent and time; a checkpoint that is held is named by its size. Half an export is none."""
    Path("held.txt").write_text(Tree(entries(3)).note(2))
    api.on("GET", "/v1/ledger/export", whole(entries(3)))
    where = "--account north --intent ai_1 --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --since held.txt"
    assert run("ledger", "export", "-o", "l.jsonl", *where.split()).exit_code == 0
    asked = "account_id=north&action_intent_id=ai_1&from=2026-01-01T00%3A00%3A00Z&to=2026-02-01T00%3A00%3A00Z&since=2"
    assert api.requests[0].query == asked
    api.on("GET", "/v1/ledger/export", whole(entries(3)).rsplit(b"\n", 2)[0])
    api._answers["GET", "/v1/ledger/export"].pop(0)
    broken = run("ledger", "export", "-o", "m.jsonl")
    assert (broken.exit_code, Path("m.jsonl").exists()) == (1, False)


def test_export_into_no_directory_is_bad_usage(api: Canned) -> None:
    """It is told before the server is asked."""
    assert run("ledger", "export", "-o", "nowhere/l.jsonl").exit_code == 2
    assert api.requests == []


# -- keys, checkpoints and witnesses ---------------------------------------------------------------------------------


def answer_of(note: str, size: int) -> bytes:
    """A checkpoint as the server answers it."""
    signed = [f"{it.name}+{it.key_id.hex()}" for it in parse_note(note).signatures]
    said = {"checkpoint": note, "origin": LOG, "size": size, "root_hash": "", "made_at": "", "signed_by": signed}
    return json.dumps(said).encode()


def test_a_key_is_made_once() -> None:
    """For its owner alone; its public half is printed, and it is never overwritten."""
    made = run("ledger", "keygen", "log.pem")
    assert made.stdout.startswith("-----BEGIN PUBLIC KEY-----")
    assert stat.S_IMODE(Path("log.pem").stat().st_mode) == 0o600
    signer = Signer.parse(Path("log.pem").read_text(), "log.pem")
    assert public_pem(signer.public) == made.stdout
    again = run("ledger", "keygen", "log.pem")
    assert (again.exit_code, again.stderr) == (1, "enactor: log.pem exists; a key is never overwritten.\n")
    key = parse_key(run("ledger", "keygen", "w.pem", "--witness", "witness.example/w").stdout)
    assert (key.name, key.algorithm) == ("witness.example/w", Algorithm.WITNESS)
    assert run("ledger", "keygen", "x.pem", "--witness", "a b").exit_code == 2
    assert run("ledger", "keygen", "nowhere/x.pem").exit_code == 2


def test_a_checkpoint_is_printed_as_it_was_signed(api: Canned) -> None:
    """Into a file byte for byte; `--make` asks for a new one."""
    note = Tree(entries(3)).note()
    api.on("GET", "/v1/ledger/checkpoint", answer_of(note, 3))
    api.on("POST", "/v1/ledger/checkpoint", answer_of(note, 3))
    assert run("ledger", "checkpoint").stdout == note
    assert json.loads(run("ledger", "checkpoint", "--make", "--json").stdout)["size"] == 3
    api.on("GET", "/v1/ledger/keys", b'{"items":[{"key":"log+1+x","valid_from":"2026","valid_until":null}]}')
    assert run("ledger", "keys").stdout == "KEY\tFROM\tUNTIL\nlog+1+x\t2026\tin use\n"
    assert json.loads(run("ledger", "keys", "--json").stdout)["items"][0]["key"] == "log+1+x"


def test_a_witness_remembers_and_signs(api: Canned) -> None:
    """The first time as it is, then only what continues it; a fork is refused, and what he saw stays remembered."""
    chain = entries(9)
    tree, other = Tree(chain), Tree(chains(9, tenant_id="globex"))
    key = parse_key(run("ledger", "keygen", "w.pem", "--witness", "witness.example/w").stdout)
    command = f"ledger witness --key w.pem --name witness.example/w --state seen.txt --log-key {KEY}".split()
    api.on("GET", "/v1/ledger/checkpoint", answer_of(tree.note(4), 4))
    api.on("GET", "/v1/ledger/checkpoint", answer_of(tree.note(9), 9))
    api.on("GET", "/v1/ledger/checkpoint", answer_of(other.note(9), 9))
    path = [it.hex() for it in hashes_from(consistency_places(4, 9), tree.tiles)]
    api.on("GET", "/v1/ledger/consistency", json.dumps({"consistency_path": path}).encode())
    api.on("POST", "/v1/ledger/checkpoint/cosignatures", answer_of(tree.note(4), 4))
    api.on("POST", "/v1/ledger/checkpoint/cosignatures", answer_of(tree.note(9), 9))
    first = run(*command)
    assert (first.exit_code, first.stdout) == (0, "Cosigned the checkpoint of 4 entries: the first that you saw.\n")
    assert "continues the one of 4 that you saw" in run(*command).stdout
    seen = Path("seen.txt").read_text()
    assert key.has_signed(parse_note(seen)) is not None
    handed = [it.body["checkpoint"] for it in api.requests if it.method == "POST"]
    assert handed[-1] == seen
    fork = run(*command)
    assert fork.exit_code == 1
    assert "it was forked. [LOG_FORKED]" in fork.stderr
    assert Path("seen.txt").read_text() == seen
    Path("note.txt").write_text(seen)
    assert "is signed by" in run("ledger", "cosign", "note.txt").stdout
    assert run("ledger", "cosign", "w.pem").exit_code == 2


# -- erasure ---------------------------------------------------------------------------------------------------------


def test_an_erasure_is_shown_before_it_is_done(api: Canned) -> None:
    """In a pipe only with --yes; what keeps its data is told, with exit status 1."""
    found = {"erased": ["ai_1"], "refused": [], "dry_run": True}
    kept = {"erased": ["ai_1"], "refused": [{"action_intent_id": "ai_2", "reason": "It runs."}], "dry_run": False}
    for answer in (found, found, found, kept):
        api.on("POST", "/v1/ledger/erasures", json.dumps(answer).encode())
    command = ["ledger", "erase", "--reference", "T-1", "--subject", "Grace"]
    dry = run(*command, "--dry-run")
    assert dry.stdout == "INTENT\tDATA\tWHY\nai_1\twould be erased\t\n"
    unasked = run(*command)
    assert (unasked.exit_code, api.requests[-1].body["dry_run"]) == (2, True)
    done = run(*command, "--yes")
    assert done.exit_code == 1
    assert done.stdout.endswith("ai_1\terased\t\nai_2\tkept\tIt runs.\n")
    sent = {"reference": "T-1", "action_intent_ids": [], "subject": "Grace", "dry_run": False}
    assert api.requests[-1].body == sent
    assert run("ledger", "erase", "--reference", "T-1").exit_code == 2


def test_a_scrub_needs_a_database() -> None:
    """A misspelled path is told, and no database made."""
    assert run("ledger", "scrub", "--store", "sqlite:///none.db").exit_code == 1
    assert list(Path().iterdir()) == []
    assert run("ledger", "scrub", "--store", "memory://").exit_code == 0

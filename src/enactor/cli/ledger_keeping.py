"""Signing the ledger, witnessing it, and erasing personal data in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from enactor.cli.client import Api
from enactor.cli.failures import Failure
from enactor.cli.ledger import commands
from enactor.cli.ledger_files import keys_of, notes_of
from enactor.cli.options import AsJson, StoreUrl, wrong_usage
from enactor.cli.output import note, print_json, print_table, say
from enactor.cli.text import on_terminal, one_line


@commands.command("checkpoint")
def checkpoint(
    make: Annotated[bool, typer.Option("--make", help="Sign what there is now; otherwise the newest is read.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the newest checkpoint of the tenant's log: a signed note to be kept where its operator cannot reach it."""
    api = Api()
    answer = api.post("/v1/ledger/checkpoint") if make else api.get("/v1/ledger/checkpoint")
    if as_json:
        print_json(answer)
    else:
        # A note is signed byte for byte; what could act on a terminal is in none that we make.
        sys.stdout.write(answer["checkpoint"])


@commands.command("keys")
def keys(as_json: AsJson = False) -> None:
    """List the keys that sign or have signed the tenant's checkpoints."""
    items = Api().get("/v1/ledger/keys")["items"]
    if as_json:
        print_json({"items": items})
        return
    rows = [(item["key"], item["valid_from"], item["valid_until"] or "in use") for item in items]
    print_table(("key", "from", "until"), rows, "No checkpoint was made yet.", quoted=False)


@commands.command("keygen")
def keygen(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where the private key goes. It must not exist.")],
    witness: Annotated[
        str | None, typer.Option("--witness", metavar="NAME", help="It is a witness's key, of this name.")
    ] = None,
) -> None:
    """Make an Ed25519 key that signs checkpoints, or a witness's, and print its public half."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from enactor.domain.note import Algorithm, Signer, is_key_name, public_pem
    from enactor.wiring.ledger import write_key

    if witness is not None and not is_key_name(witness):
        wrong_usage("A witness's name has no white space and no '+'.", "--witness")
    path = Path(file)
    if not path.absolute().parent.is_dir():
        wrong_usage(f"There is no directory {path.parent}.", "FILE")
    signer = Signer(Ed25519PrivateKey.generate())
    if not write_key(path.absolute(), signer):
        raise Failure(f"{file} exists; a key is never overwritten.")
    note(f"The private key is in {file}. Keep it to yourself.")
    if witness is not None:
        say(str(signer.verifier(witness, Algorithm.WITNESS)))
    else:
        sys.stdout.write(public_pem(signer.public))


@commands.command("witness")
def witness(
    key: Annotated[str, typer.Option("--key", metavar="FILE", help="Your private key, of `ledger keygen --witness`.")],
    name: Annotated[str, typer.Option("--name", help="Your name as a witness, as with `ledger keygen --witness`.")],
    state: Annotated[
        str, typer.Option("--state", metavar="FILE", help="Where you keep the checkpoint that you saw last.")
    ],
    log_key: Annotated[
        list[str],
        typer.Option("--log-key", metavar="KEY", help="The log's public key, or a file with it. Repeatable."),
    ],
    as_json: AsJson = False,
) -> None:
    """Cosign the newest checkpoint, after checking that the log continues the one you saw last.

    Run it where the operator of the log cannot reach: on your own machine, with a token of the role auditor. A log that
    does not continue what you saw is a fork: nothing is signed, and the exit status is 1.
    """
    from enactor.cli.options import read_text
    from enactor.domain.note import Signer
    from enactor.domain.tree_check import bytes_of
    from enactor.domain.witness import Witness
    from enactor.system import SystemClock

    signer = Signer.parse(read_text(key, "--key"), key)
    watch = Witness(name, signer, tuple(keys_of(log_key, "--log-key")))
    api = Api()
    newest = api.get("/v1/ledger/checkpoint")["checkpoint"]
    path = Path(state)
    before = notes_of([state], "--state")[0] if path.exists() else None
    asked = watch.sizes(before, newest)
    hashes: list[bytes] = []
    if asked is not None:
        proof = api.call("GET", "/v1/ledger/consistency", parameters={"from": asked[0], "to": asked[1]})
        hashes = [bytes_of(text) for text in proof["consistency_path"]]
    cosigned = watch.cosign(before, newest, hashes, SystemClock().now_ms() // 1000)
    # What was signed is remembered first: a witness never signs two logs, whatever becomes of the answer.
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(cosigned, "utf-8")
    beside.replace(path)
    answer = api.post("/v1/ledger/checkpoint/cosignatures", {"checkpoint": cosigned})
    if as_json:
        print_json(answer)
    else:
        since = "the first that you saw" if asked is None else f"it continues the one of {asked[0]} that you saw"
        say(f"Cosigned the checkpoint of {answer['size']} entries: {since}.")


@commands.command("cosign")
def cosign(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A checkpoint that a witness cosigned; - for stdin.")],
    as_json: AsJson = False,
) -> None:
    """Hand in a checkpoint that a witness of the settings has cosigned."""
    (text,) = notes_of([file], "FILE")
    answer = Api().post("/v1/ledger/checkpoint/cosignatures", {"checkpoint": text})
    if as_json:
        print_json(answer)
    else:
        say(f"The checkpoint of {answer['size']} entries is signed by {', '.join(answer['signed_by'])}.")


@commands.command("erase")
def erase(
    reference: Annotated[
        str, typer.Option("--reference", help="The number of the request or ticket. It stays in the ledger.")
    ],
    intent: Annotated[list[str] | None, typer.Option("--intent", metavar="ID", help="An intent. Repeatable.")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="Every intent in which this text appears, whatever its case.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be erased.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase the personal data of intents that are over. It cannot be undone; the ledger still verifies.

    Then stop the server and run `enactor ledger scrub`, which removes what is left in the database's files.
    """
    if not intent and subject is None:
        wrong_usage("Name intents, or a subject.", "--intent")
    api = Api()
    body = {"reference": reference, "action_intent_ids": intent or [], "subject": subject, "dry_run": True}
    found = api.post("/v1/ledger/erasures", body)
    if not dry_run and found["erased"]:
        if not yes:
            if not on_terminal():
                wrong_usage("Say --yes, or --dry-run to see what would be erased.", "--yes")
            typer.confirm(f"Erase the data of {len(found['erased'])} intents for good?", abort=True, err=True)
        found = api.post("/v1/ledger/erasures", {**body, "dry_run": False})
    if as_json:
        print_json(found)
    else:
        word = "would be erased" if found["dry_run"] else "erased"
        rows = [(name, word, "") for name in found["erased"]]
        rows += [(item["action_intent_id"], "kept", one_line(item["reason"])) for item in found["refused"]]
        print_table(("intent", "data", "why"), rows, "There is nothing to erase.")
    if found["refused"]:
        raise Failure(f"{len(found['refused'])} of them kept their data.")


@commands.command("scrub")
def scrub(store: StoreUrl = None) -> None:
    """Remove what erased records have left in the store's own files. No server may have the store open.

    Copies that lie elsewhere (backups, snapshots, replicas) are not reached: let them expire.
    """
    from enactor.cli.server import loaded, with_store

    path = loaded(store=store).settings.address.path
    if path is not None and not path.exists():
        raise Failure(f"There is no database {path}.")
    with_store(store, lambda opened: opened.scrub())
    say("The store's files hold nothing any more of what was erased.")

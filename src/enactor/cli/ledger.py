"""Exporting the ledger, and checking it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import msgspec
import typer

from enactor.cli.client import Api
from enactor.cli.failures import Failure
from enactor.cli.ledger_files import keys_of, notes_of, size_of
from enactor.cli.options import AsJson, StoreUrl, group, wrong_usage
from enactor.cli.output import counting, measuring, note, print_fields, print_json, say

if TYPE_CHECKING:
    from enactor.domain.evidence import VerificationReport
    from enactor.domain.ledger import ChainFault
    from enactor.domain.trust import Trusted
    from enactor.service.evidence import StoreReport

commands = group("ledger", "Export the ledger, check that nobody changed it, sign it, and erase personal data in it.")


@commands.command("export")
def export(
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - for standard output.")
    ] = "-",
    account: Annotated[str | None, typer.Option("--account", help="Only this account's chain.")] = None,
    intent: Annotated[
        str | None, typer.Option("--intent", metavar="ID", help="Only what is about this intent.")
    ] = None,
    from_time: Annotated[
        str | None, typer.Option("--from", metavar="INSTANT", help="Only from this instant on (RFC 3339).")
    ] = None,
    to_time: Annotated[
        str | None, typer.Option("--to", metavar="INSTANT", help="Only before this instant (RFC 3339).")
    ] = None,
    since: Annotated[
        list[str] | None,
        typer.Option(
            "--since",
            metavar="FILE",
            help="A checkpoint that you hold: a selection then has the proof that the log continues it. Repeatable.",
        ),
    ] = None,
) -> None:
    """Write the tenant's ledger, or part of it, as a bundle that anybody can check with `enactor ledger verify`."""
    from enactor.domain.evidence import ENTRY

    if output == "-" and sys.stdout.isatty():
        wrong_usage("Name a file, or send it down a pipe.", "--output")
    parameters = {
        "account_id": account,
        "action_intent_id": intent,
        "from": from_time,
        "to": to_time,
        "since": [size_of(text) for text in notes_of(since or (), "--since")],
    }
    api = Api()
    count = 0
    with _target(output) as file, counting("entries exported") as progress:
        last = b""
        with api.stream("/v1/ledger/export", parameters=parameters) as response:
            for chunk in response.iter_bytes():
                file.write(chunk)
                # An entry's beginning may lie in two chunks; what was counted before is not in the overlap whole.
                count += (last[1 - len(ENTRY) :] + chunk).count(ENTRY)
                last = (last + chunk)[-200:]
                progress(count)
        if not last.rstrip().rpartition(b"\n")[2].startswith(b'{"kind":"end"'):
            raise Failure("The export broke off before its end; what was written cannot be used. Try again.")
    to = "" if output == "-" else f" to {output}"
    note(f"Exported {count} entr{'y' if count == 1 else 'ies'}{to}.")


@commands.command("verify")
def verify(
    bundle: Annotated[
        str | None, typer.Argument(metavar="BUNDLE", help="An exported bundle, - for standard input; else the store.")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", metavar="KEY", help="The log's public key, or a file with it (a verifier key, or PEM). Repeatable."
        ),
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option("--checkpoint", metavar="FILE", help="A checkpoint that you got earlier, or from elsewhere."),
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option("--witness", metavar="KEY", help="The verifier key of a witness you trust, or a file with it."),
    ] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Check a bundle or a store, entry by entry. Exit status 1 when something is at fault.

    A SQLite file is only read: it may be a copy without write permission, or a server may have it open.
    Only a checkpoint from outside, held by you or cosigned by a witness you trust, makes the answer conclusive.
    """
    if bundle is not None and store is not None:
        wrong_usage("Check a bundle or a store, not both.", "--store")
    from enactor.domain.trust import Trusted

    trusted = Trusted(
        keys=keys_of(key or (), "--key"),
        held=notes_of(checkpoint or (), "--checkpoint"),
        witnesses=tuple(make("") for make in keys_of(witness or (), "--witness")),
    )
    report = _verify_file(bundle, trusted) if bundle is not None else _verify_store(store, trusted)
    if as_json:
        print_json({"ok": report.ok, **msgspec.to_builtins(report)})
    else:
        _print(report)
    if not report.ok:
        raise Failure(f"The ledger is not what was written: {_named(report.faults[0])}.")


def _print(report: VerificationReport | StoreReport) -> None:
    print_fields(
        (
            ("checked", f"{report.entries} entries in {report.chains} chain{'' if report.chains == 1 else 's'}"),
            ("erased", report.erased or None),
            *_signatures(report),
        )
    )
    for fault in report.faults:
        say(f"FAULT in {_named(fault)}")
    if report.ok:
        say("Nothing was altered, removed, inserted or reordered, as far as this check can tell.")
    for sentence in report.cannot_know:
        say(sentence)


def _signatures(report: VerificationReport | StoreReport) -> Sequence[tuple[str, object]]:
    from enactor.domain.time import rfc3339
    from enactor.service.evidence import StoreReport

    if isinstance(report, StoreReport):
        return ()
    return (
        ("log", f"{report.size} entries, root {report.root}"),
        ("signed by", ", ".join(report.signed_by) or None),
        ("continues", ", ".join(f"your checkpoint of {size} entries" for size in report.held) or None),
        *(
            ("cosigned by", f"{it.witness}, {it.size} entries, {rfc3339(it.time * 1000)}")
            for it in report.witnesses[:10]
        ),
    )


def _named(fault: ChainFault) -> str:
    tenant = fault.tenant_id or "(platform)"
    if not fault.account_id:
        return f"the log of {tenant}: {fault.fault}"
    identity = f" ({fault.entry_id})" if fault.entry_id else ""
    return f"the chain {tenant}/{fault.account_id}, entry {fault.seq}{identity}: {fault.fault}"


def _verify_file(bundle: str, trusted: Trusted) -> VerificationReport:
    from enactor.domain.verification import verify_bundle

    if bundle == "-":
        with counting("entries checked") as progress:
            return verify_bundle(sys.stdin.buffer, trusted, progress)
    try:
        with Path(bundle).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            with measuring("entries checked", size, file.tell) as progress:
                return verify_bundle(file, trusted, progress)
    except FileNotFoundError:
        wrong_usage(f"There is no file {bundle}.", "BUNDLE")


def _verify_store(url: str | None, trusted: Trusted) -> StoreReport:
    import asyncio

    from enactor.cli.server import loaded
    from enactor.service.evidence import verify_store
    from enactor.system import SystemClock
    from enactor.wiring import open_ledger

    settings = loaded(store=url).settings
    path = settings.address.path
    if path is not None and not path.exists():
        raise Failure(f"There is no database {path}.")

    async def checked() -> StoreReport:
        with counting("entries checked") as progress:
            async with open_ledger(settings.store, SystemClock()) as ledger:
                return await verify_store(ledger, progress, trusted)

    return asyncio.run(checked())


@contextmanager
def _target(output: str) -> Iterator[BinaryIO]:
    """Standard output, or a file that appears only once it is whole."""
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(output)
    if not path.parent.is_dir():
        wrong_usage(f"There is no directory {path.parent}.", "--output")
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

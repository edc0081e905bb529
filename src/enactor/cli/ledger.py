"""Exporting the ledger, and checking it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import msgspec
import typer

from enactor.cli.client import Api
from enactor.cli.failures import Failure
from enactor.cli.options import AsJson, StoreUrl, group, wrong_usage
from enactor.cli.output import counting, note, print_fields, print_json, say

if TYPE_CHECKING:
    from enactor.service.evidence import VerificationReport

commands = group("ledger", "Export the ledger, and check that nobody changed it.")


@commands.command("export")
def export(
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - for standard output.")
    ] = "-",
) -> None:
    """Write the tenant's ledger as a bundle that anybody can check with `enactor ledger verify`."""
    if output == "-" and sys.stdout.isatty():
        wrong_usage("Name a file, or send it down a pipe.", "--output")
    api = Api()
    with _target(output) as file, counting("entries exported") as progress:
        count = -1
        with api.stream("/v1/ledger/export") as response:
            for chunk in response.iter_bytes():
                file.write(chunk)
                count += chunk.count(b"\n")
                progress(max(count, 0))
    # The header and the footer are lines, and no entries.
    entries = max(count - 1, 0)
    to = "" if output == "-" else f" to {output}"
    note(f"Exported {entries} entr{'y' if entries == 1 else 'ies'}{to}.")


@commands.command("verify")
def verify(
    bundle: Annotated[
        str | None, typer.Argument(metavar="BUNDLE", help="An exported bundle, - for standard input; else the store.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="FILE", help="The public key of a signed checkpoint in the bundle.")
    ] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Check every chain of a bundle, or of a store that no server has open. Exit status 1 when one is at fault."""
    if bundle is not None and store is not None:
        wrong_usage("Check a bundle or a store, not both.", "--store")
    if key is not None:
        wrong_usage("Bundles of this version hold no signed checkpoint that a key could check.", "--key")
    report = _verify_file(bundle) if bundle is not None else _verify_store(store)
    if as_json:
        print_json({"ok": report.ok, **msgspec.to_builtins(report)})
    else:
        _print(report)
    if not report.ok:
        raise Failure(f"The ledger is not what was written: {_first_fault(report)}")


def _print(report: VerificationReport) -> None:
    print_fields(
        (
            ("checked", f"{report.entries} entries in {report.chains} chain{'' if report.chains == 1 else 's'}"),
            ("erased", report.erased or None),
            (
                "selection",
                "only some entries were given: gaps between them are not checked" if report.partial else None,
            ),
        )
    )
    for fault in report.faults:
        say(
            f"FAULT in the chain {fault.tenant_id or '(platform)'}/{fault.account_id}, entry {fault.seq}: {fault.fault}"
        )
    if report.ok:
        say("Nothing was altered, removed, inserted or reordered, as far as this check can tell.")
    say(report.cannot_know)


def _first_fault(report: VerificationReport) -> str:
    fault = report.faults[0]
    return f"entry {fault.seq} of the chain {fault.tenant_id or '(platform)'}/{fault.account_id}: {fault.fault}."


def _verify_file(bundle: str) -> VerificationReport:
    from enactor.service.evidence import verify_bundle

    with counting("entries checked") as progress:
        if bundle == "-":
            return verify_bundle(sys.stdin.buffer, progress)
        try:
            with Path(bundle).open("rb") as file:
                return verify_bundle(file, progress)
        except FileNotFoundError:
            wrong_usage(f"There is no file {bundle}.", "BUNDLE")


def _verify_store(url: str | None) -> VerificationReport:
    from enactor.cli.server import loaded, with_store
    from enactor.service.evidence import verify_store

    path = loaded(store=url).settings.address.path
    if path is not None and not path.exists():
        # Opening would make an empty one, in which everything is in order.
        raise Failure(f"There is no database {path}.")
    with counting("entries checked") as progress:
        return with_store(url, lambda store: verify_store(store, progress))


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

"""The demonstration holds what it says, on a fresh folder, through real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from enactor.demo.run import run
from enactor.http.dev_issuer import DevIssuer


@pytest.mark.timeout(180)
def test_the_demonstration_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Propose, refuse, approve, execute, stop, crash, recover, verify: everything held, and it says how to go on."""
    status = run(tmp_path / "demo")
    said = capsys.readouterr().out
    assert status == 0, said
    assert "Everything held" in said
    assert "200 executions, 200 notes, each exactly once" in said
    assert "enactor serve --dev --store" in said
    # What it says of tokens is typed as it stands, and its server's key has signed what comes out.
    (line,) = [line for line in said.splitlines() if " dev token " in line]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    typed = subprocess.run(["sh", "-c", line], env={"PATH": path}, capture_output=True, text=True, check=True)
    key = ECKey.import_key(DevIssuer.load(tmp_path / "demo/dev-issuer.json").public_key)
    jws.deserialize_compact(typed.stdout.strip(), key, algorithms=["ES256"])


@pytest.mark.timeout(180)
def test_a_second_demonstration_starts_afresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What an earlier demonstration left, or broke, does not stand in the way of the next."""
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "enactor.db").write_bytes(b"left half-written by something else")
    assert run(folder) == 0, capsys.readouterr().out

"""The demonstration holds what it says, on a fresh folder, through real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from enactor.demo.run import run


@pytest.mark.timeout(180)
def test_the_demonstration_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Propose, refuse, approve, execute, stop, crash, recover, verify: everything held, and it says how to go on."""
    status = run(tmp_path / "demo")
    said = capsys.readouterr().out
    assert status == 0, said
    assert "Everything held" in said
    assert "200 executions, 200 notes, each exactly once" in said
    assert "enactor serve --dev --store" in said


@pytest.mark.timeout(180)
def test_a_second_demonstration_starts_afresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What an earlier demonstration left, or broke, does not stand in the way of the next."""
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "enactor.db").write_bytes(b"left half-written by something else")
    assert run(folder) == 0, capsys.readouterr().out

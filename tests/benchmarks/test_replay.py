"""The replay writes what the recorded executions wrote, and the three are measured in alternation."""

from pathlib import Path

import pytest

from benchmarks import replay


def test_what_was_recorded_is_replayed(tmp_path: Path) -> None:
    """As many chunks of each; that both files hold the same is checked by the benchmark itself."""
    found = replay.measured(200, tmp_path)
    assert [len(chunks) for chunks in found.values()] == [2, 2, 2]


def test_a_replay_that_wrote_something_else_is_refused(tmp_path: Path) -> None:
    """A figure counts only if the file holds what it is to hold."""
    replay.measured(100, tmp_path)
    with pytest.raises(SystemExit, match="and not the 300"):
        replay._require_same(tmp_path / "enactor.db", tmp_path / "replay.db", 300)

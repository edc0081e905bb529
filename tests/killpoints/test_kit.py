"""A sample of the proof itself, with real processes that are really killed; `make killpoints` runs all of it."""

import sys
from pathlib import Path

from killpoints.harness import Spawner, WorldProcess
from killpoints.random_kills import Load, a_round
from killpoints.sections import SECTIONS, Options

HOW_IT_GOES = {
    "commit(StartAttempt+TakePermit)": 2,
    "call shop.keyed": 3,
    "call shop.take_back": 3,
    "preview shop.previewed": 2,
    "commit(CreateIntent)": 2,
    "commit(RecordOutcome+SettlePermit+UpdateAttempt)": 2,
    "look-up shop.searched": 2,
}
"""Points that have to be among those that the sample cuts, each with its number of sides."""


def options(folder: Path) -> Options:
    """A quick run, small enough for two cores."""
    return Options(quick=True, at_once=6, folder=folder)


async def test_killed_and_paused_at_every_point_around_a_call(tmp_path: Path) -> None:
    """Nothing twice, nothing lost, nothing false; and the points were really found, and really reached."""
    found = await SECTIONS["matrix"].run(options(tmp_path))
    assert found.holds, found.text
    assert found.content["points_not_reached"] == []
    assert found.content["cells"]["KILL"] > 25
    assert found.content["cells"]["STOP"] > 5
    points = found.content["points"]
    for name, sides in HOW_IT_GOES.items():
        assert sum(point.startswith(f"{name} ") for point in points) == sides, name
    undone = next(row for row in found.content["rows"] if row["tool"] == "reversible")
    assert undone["said"] == {"taken back": undone["wanted"]}, "killed or not, what is undone is undone"
    known = {row["tool"]: row["did_not_know"] for row in found.content["rows"]}
    assert known["unsafe"] > 0, "of an unsafe tool nobody can know"
    assert known["keyed"] == known["searched"] == known["partial"] == known["reversible"] == 0


async def test_killed_again_during_recovery(tmp_path: Path) -> None:
    """The second process dies too, at each point of its coming back."""
    found = await SECTIONS["recovery"].run(options(tmp_path))
    assert found.holds, found.text
    assert found.content["points_not_reached"] == []


async def test_killed_at_random_times(tmp_path: Path) -> None:
    """The same without fault points, under load."""
    found = await SECTIONS["random"].run(options(tmp_path))
    assert found.holds, found.text
    assert found.content["kills"] > 0


async def test_the_kit_sees_what_naive_retry_does(world: WorldProcess, tmp_path: Path) -> None:
    """The same harness finds duplicates and false statements where they are: in a program that just tries again."""
    programs = Spawner(sys.executable, "killpoints.subjects.naive_program", tmp_path / "log")
    load = Load(kinds=("unsafe",), orders=6, kills=0, behaviours=("500 after commit", "401 after a timeout"))
    found = await a_round(programs, world, tmp_path / "round", load, seed=3)
    tally = found.tallies["unsafe"]
    assert tally.wanted == 6
    assert tally.duplicates > 0
    assert tally.false > 0
    assert tally.unknown == 0

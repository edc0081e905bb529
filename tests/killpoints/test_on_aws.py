"""A sample of the section on a simulated AWS: functions that die before, in and after a call."""

import asyncio
from pathlib import Path

from killpoints.combinations import lost
from killpoints.judge import Says
from killpoints.matrix import Cut
from killpoints.on_aws import on_aws


async def test_functions_that_die(tmp_path: Path) -> None:
    """Nothing twice, nothing lost, nothing false: where keys are honoured it is done, and where nothing is promised it
    is not known, but for the function that had sent nothing yet.
    """
    keyed, unsafe = lost("keyed"), lost("unsafe")
    async with on_aws(tmp_path, at_once=4) as cells:
        ended = await asyncio.gather(
            cells.run(keyed, Cut("call shop.keyed after", 1)),
            cells.run(keyed, Cut("commit(StartAttempt) after", 1)),
            cells.run(unsafe, Cut("commit(TakePermit+UpdateAttempt) before", 1)),
            cells.run(unsafe, Cut("call shop.unsafe after", 1)),
        )
    for cell in ended:
        assert cell.reached
        assert cell.tally.clean, cell.tally.faults
    ways = [list(cell.tally.ways) for cell in ended]
    assert ways == [[Says.DONE], [Says.DONE], [Says.UNKNOWN], [Says.UNKNOWN]]

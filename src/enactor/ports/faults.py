"""Fault points: where a proof may stop the process, on both sides of all that becomes durable and all that leaves.

There is no implementation in production: `wiring.faults` puts one around the store and the tool plane only when the
kill-point kit asks for it, and without that nothing is wrapped and nothing is asked.
"""

from __future__ import annotations

from typing import Protocol


class Faults(Protocol):
    """Is told of every fault point as it is reached, and may never come back from it.

    A point's name says what happens there and on which side of it the point lies: `commit(TakePermit) before`,
    `call keyed checked`, `look-up keyed after`.
    """

    async def reached(self, point: str) -> None:
        """A point at which whoever is there can be made to wait."""
        ...

    def passed(self, point: str) -> None:
        """A point in the middle of a call, where nothing can wait but the whole process."""
        ...

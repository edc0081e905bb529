"""The server, profiled on demand: `python -m benchmarks.profiled_server FILE serve …`, for `benchmarks.http_profile`.

SIGUSR1 begins to profile the event loop's thread; SIGUSR2 ends it and writes what was found to FILE.
"""

import cProfile
import signal
import sys
from types import FrameType

from enactor.cli import main

if __name__ == "__main__":
    profiler = cProfile.Profile()
    path = sys.argv.pop(1)

    def begin(_signal: int, _frame: FrameType | None) -> None:
        """Profiles from now on."""
        profiler.enable()

    def end(_signal: int, _frame: FrameType | None) -> None:
        """Profiles no longer."""
        profiler.disable()
        profiler.dump_stats(path)

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    sys.exit(main())

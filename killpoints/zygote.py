"""Forks programs from a process that has imported theirs already, so that starting one takes milliseconds.

    python -m killpoints.zygote MODULE

Each line of its standard input, `{"id", "environment", "plan", "log"}`, is a process to start: a fork in which
`MODULE.main(plan)` runs. It answers with lines `{"id", "pid"}`, and, of a child, `{"id", "event": "stopped"}` and
`{"id", "event": "exited", "status"}`; a child that was killed has the negative signal as its status.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import sys
from typing import Any, NoReturn


def _child(main: Any, command: dict[str, Any]) -> NoReturn:
    """What a forked process does: the plan, and nothing that its parent would have done."""
    status = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(command["environment"])
        status = main(command["plan"])
    except BaseException:  # noqa: BLE001 - the child's own end; its log says why
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _tell(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _reap(children: dict[int, int]) -> None:
    """Tells of every child that stopped or ended."""
    while children:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if os.WIFSTOPPED(status):
            _tell({"id": children[pid], "event": "stopped"})
        else:
            _tell({"id": children.pop(pid), "event": "exited", "status": os.waitstatus_to_exitcode(status)})


def run(module: str) -> None:
    """Serves until standard input ends; then its children are killed."""
    imported = importlib.import_module(module)
    main = imported.main
    # What is imported or compiled only when it is first used is so here, once, and not in every child.
    getattr(imported, "warm", lambda: None)()
    # What is there now is never collected: a collection would touch, and so copy, every page in every child.
    gc.collect()
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    waiting = selectors.DefaultSelector()
    waiting.register(0, selectors.EVENT_READ)
    waiting.register(woken, selectors.EVENT_READ)
    children: dict[int, int] = {}
    begun = b""
    while True:
        ready = {key.fd for key, _ in waiting.select()}
        if woken in ready:
            os.read(woken, 4096)
            _reap(children)
        if 0 not in ready:
            continue
        piece = os.read(0, 1 << 16)
        if not piece:
            break
        *lines, begun = (begun + piece).split(b"\n")
        for line in lines:
            command = json.loads(line)
            pid = os.fork()
            if pid == 0:
                _child(main, command)
            children[pid] = command["id"]
            _tell({"id": command["id"], "pid": pid})
        _reap(children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    run(sys.argv[1])

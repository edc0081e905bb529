"""`enactor demo`: the main job, end to end, over the real HTTP API of a real server."""

from __future__ import annotations

from enactor.demo.run import run

__all__ = ["run"]

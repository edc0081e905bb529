"""How a command fails: one line on standard error, with what to do, and exit status 1. Never a traceback."""

from __future__ import annotations

import errno
import sys
from typing import Any, Final

import typer
from typer.core import TyperGroup

from enactor.cli.text import own
from enactor.domain.errors import ConfigurationError, EnactorError

_EXTRAS: Final = {"psycopg": "postgres", "psycopg_pool": "postgres", "restate": "restate", "boto3": "aws", "mcp": "mcp"}
_OS_ADVICE: Final = {
    errno.EADDRINUSE: "the port is in use; stop what uses it, or choose another with --port",
    errno.EADDRNOTAVAIL: "this machine has no such address; choose another with --host",
    errno.ENOSPC: "the disk is full; make room and try again, nothing was half-written",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
}


class Failure(Exception):
    """A command failed or was refused; its message is the line the user reads."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def described(error: Exception) -> str | None:
    """The one line for an error, or None when it is a programming error that should be seen as it is."""
    if isinstance(error, Failure):
        return error.message
    if isinstance(error, ConfigurationError):
        return error.message
    if isinstance(error, EnactorError):
        return f"{error.message} [{error.error_code}]"
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        return f"This needs an extra: pip install 'enactor[{extra}]'" if extra else None
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, BrokenPipeError):
        advice = _OS_ADVICE.get(error.errno, (error.strerror or "input/output error").lower())
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{advice}"
    return None


class Commands(TyperGroup):
    """A group whose commands fail with one line."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command. Raises `typer.Exit` with status 1 when it failed and said so."""
        try:
            return super().invoke(ctx)
        except (EnactorError, Failure, ImportError, OSError) as error:
            line = described(error)
            if line is None:
                raise
            sys.stdout.flush()
            sys.stderr.write(f"enactor: {own(line).replace(chr(10), ' ')}\n")
            raise typer.Exit(1) from None

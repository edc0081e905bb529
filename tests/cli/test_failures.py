"""Every failure is one line that says what to do; only a programming error shows where it is."""

import errno
import os

import pytest
import typer
from typer.testing import CliRunner

from enactor.cli.failures import Commands, Failure, described
from enactor.domain.errors import ConfigurationError, StoreFailed


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Failure("No."), "No."),
        (ConfigurationError("port: must be a number"), "port: must be a number"),
        (StoreFailed("The database x is damaged."), "The database x is damaged. [STORE_FAILED]"),
        (ModuleNotFoundError("no", name="psycopg"), "This needs an extra: pip install 'enactor[postgres]'"),
        (ModuleNotFoundError("no", name="boto3.session"), "This needs an extra: pip install 'enactor[aws]'"),
        (ModuleNotFoundError("no", name="enactor.typo"), None),
        (ImportError("no"), None),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.jsonl"), "out.jsonl: the disk is full; "),
        (OSError(errno.EADDRINUSE, "x"), "the port is in use; "),
        (OSError(errno.EIO, "Input/output error", "f"), "f: input/output error"),
        (OSError("without a number"), None),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), None),
        (ValueError("a bug"), None),
    ],
)
def test_errors_in_one_line(error: Exception, line: str | None) -> None:
    """What is wrong outside the program is described; what is wrong in it is not hidden."""
    found = described(error)
    assert found is None if line is None else found is not None and found.startswith(line)


def command(error: BaseException) -> typer.Typer:
    """A program of one command in a group, which fails."""
    app = typer.Typer(cls=Commands, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(lambda: None)

    @app.command("fail")
    def fail() -> None:
        raise error

    return app


def test_a_failure_exits_1_with_its_line_on_standard_error() -> None:
    """Lines within a message are joined, escape sequences spelled out, addresses kept."""
    result = CliRunner().invoke(command(Failure("a\nb \x1b[2J http://127.0.0.1:1")), ["fail"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "enactor: a b \\u{001B}[2J http://127.0.0.1:1\n"


def test_a_programming_error_is_seen_as_it_is() -> None:
    """A bug is not dressed up as a refusal."""
    with pytest.raises(ImportError, match="typo"):
        CliRunner().invoke(command(ImportError("typo")), ["fail"], catch_exceptions=False)


def test_an_interrupt_is_no_traceback() -> None:
    """Ctrl-C ends a command with the status that shells know it by."""
    result = CliRunner().invoke(command(KeyboardInterrupt()), ["fail"])
    assert result.exit_code == 130
    assert "Traceback" not in result.output

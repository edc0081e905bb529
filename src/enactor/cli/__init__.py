"""The command line: `enactor`."""

from __future__ import annotations


def main() -> None:
    """Runs the command of this process's arguments and exits with its status: 0 done, 1 failed, 2 wrongly used."""
    from enactor.cli.app import application

    application()(prog_name="enactor")

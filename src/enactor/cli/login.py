"""Remembering a server and its token."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from enactor.cli.client import Api, Refused
from enactor.cli.credentials import Access, access, checked_token, checked_url, forget, save
from enactor.cli.options import read_text
from enactor.cli.output import say

Url = Annotated[str | None, typer.Option("--url", help="The server; ENACTOR_URL or the last one when absent.")]


def login(
    url: Url = None,
    token_file: Annotated[
        str | None,
        typer.Option("--token-file", metavar="FILE", help="A file with the token; - for standard input."),
    ] = None,
) -> None:
    """Save a token for a server, readable by you alone. It is asked for, and never an argument: those can be seen."""
    to = checked_url(url) if url is not None else access().url
    if token_file is not None:
        given = read_text(token_file, "--token-file")
    elif sys.stdin.isatty():
        given = typer.prompt(f"Token for {to}", hide_input=True)
    else:
        given = sys.stdin.read()
    token = checked_token(given, "What was given")
    try:
        Api(Access(to, token)).get("/v1/executions", limit=1)
    except Refused as refused:
        # A token that is accepted and may not list executions, a platform administrator's say, is a good one.
        if refused.status != 403:
            raise
    say(f"Logged in at {to}; the token is in {save(to, token)}.")


def logout(url: Url = None) -> None:
    """Forget the token of a server."""
    to = checked_url(url) if url is not None else access().url
    say(f"Logged out of {to}." if forget(to) else f"There was no login at {to}.")

"""Options and arguments that several commands share, and how their values are read."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from enactor.cli.failures import Commands, Failure

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd]?)")

AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
IntentId = Annotated[str, typer.Argument(metavar="ID", help="The intent's id (ai_…).")]
Account = Annotated[str | None, typer.Option("--account", help="Only this account.")]
Status = Annotated[str | None, typer.Option("--status", help="Only this status, for example PENDING_APPROVAL.")]
ActionTypeName = Annotated[str | None, typer.Option("--action-type", help="Only this action type.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100, help="How many at most.")]
NextToken = Annotated[str | None, typer.Option("--next-token", help="Where the last listing ended.")]
StoreUrl = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="Store URL; what the settings say when absent.")
]


def group(name: str, about: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(name=name, help=about, no_args_is_help=True, rich_markup_mode=None, cls=Commands)


def wrong_usage(message: str, option: str | None = None) -> NoReturn:
    """Ends the command as wrongly used: exit status 2."""
    raise typer.BadParameter(message, param_hint=f"'{option}'" if option else None)


def duration(text: str | None, option: str) -> int | None:
    """Seconds of `90`, `90s`, `15m`, `24h` or `7d`; None for None."""
    if text is None:
        return None
    found = _DURATION.fullmatch(text)
    if found is None or int(found[1]) == 0:
        wrong_usage("Write seconds, or a number with s, m, h or d: 90, 15m, 24h, 7d.", option)
    return int(found[1]) * _UNITS[found[2]]


def read_text(source: str, option: str) -> str:
    """The text of a file, or of standard input for `-`. A missing file is wrong usage."""
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except FileNotFoundError:
        wrong_usage(f"There is no file {source}.", option)
    except UnicodeDecodeError:
        raise Failure(f"{source} is not UTF-8 text.") from None


def json_object(text: str, option: str) -> dict[str, Any]:
    """A JSON object given as text, as `@FILE`, or as `-` for standard input."""
    if text == "-" or text.startswith("@"):
        text = read_text(text.removeprefix("@"), option)
    value = json_value(text, option)
    if not isinstance(value, dict):
        wrong_usage('Write a JSON object, for example {"title": "Call back"}.', option)
    return value


def json_value(text: str, option: str) -> Any:
    """A JSON value; NaN and infinities, which Python would take, are none."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        wrong_usage("This is not valid JSON.", option)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def named_parameters(given: list[str], option: str) -> dict[str, Any]:
    """Parameters written `name=text` or `name:=json`, by name."""
    parameters: dict[str, Any] = {}
    for item in given:
        name, separator, text = item.partition("=")
        as_json = name.endswith(":")
        name = name.removesuffix(":")
        if not separator or not name:
            wrong_usage("Write name=text, or name:=json for a number, a list or an object.", option)
        if name in parameters:
            wrong_usage(f"{name} is given twice.", option)
        parameters[name] = json_value(text, option) if as_json else text
    return parameters

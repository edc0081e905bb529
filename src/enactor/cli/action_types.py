"""The registry of action types."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from enactor.cli.answers import Page, items, understood
from enactor.cli.client import Api, segment
from enactor.cli.failures import Failure
from enactor.cli.options import AsJson, Limit, NextToken, group, json_object, read_text, wrong_usage
from enactor.cli.output import note, print_block, print_fields, print_json, print_table, say
from enactor.cli.text import quoted_json

commands = group("action-type", "What can be proposed, and the tool that fulfils it.")

_DECIDED_HERE: Final = frozenset(
    {"registry_version", "connector_id", "definition_hash", "created_at", "deprecated_at", "tenant_id", "undo_only"}
)
"""Members of an entry that the registry and the tool decide, and nobody registers."""


@commands.command("list")
def list_action_types(limit: Limit = 50, next_token: NextToken = None, as_json: AsJson = False) -> None:
    """List action types, the latest version of each."""
    answer = Api().get("/v1/action-types", limit=limit, next_token=next_token)
    if as_json:
        print_json(answer)
        return
    page = understood(answer, Page)
    rows = [
        (one.get("action_type"), one.get("registry_version"), one.get("risk_class"), one.get("tool_name"), _state(one))
        for one in page.items
        if isinstance(one, dict)
    ]
    print_table(("action type", "version", "risk", "tool", "state"), rows, "There is no action type.")
    if page.next_token:
        note(f"There are more: --next-token {page.next_token}")


@commands.command("show")
def show(
    action_type: Annotated[str, typer.Argument(help="The action type's name.")],
    version: Annotated[int | None, typer.Option("--version", min=1, help="A version; the latest when absent.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show an action type: its parameters, its tool and what approvers read."""
    api = Api()
    named = f"/v1/action-types/{segment(action_type)}"
    answer: Any = _latest(api, action_type) if version is None else api.get(f"{named}/versions/{version}")
    if as_json:
        print_json(answer)
        return
    entry = answer if isinstance(answer, dict) else {}
    compensation = entry.get("compensation") or {}
    print_fields(
        (
            ("action type", entry.get("action_type")),
            ("version", entry.get("registry_version")),
            ("state", _state(entry)),
            ("tool", f"{entry.get('tool_name')} {entry.get('tool_schema_version')}"),
            ("connector", entry.get("connector_id")),
            ("risk", entry.get("risk_class")),
            ("summary", entry.get("summary")),
            ("effect key", entry.get("effect_key")),
            ("if the reply is lost", (entry.get("write_semantics") or {}).get("mode")),
            ("taken back", compensation.get("strategy")),
            ("by", compensation.get("tool_name")),
            ("note", compensation.get("note")),
            ("created", entry.get("created_at")),
        )
    )
    print_block("parameters (JSON Schema)", quoted_json(entry.get("parameter_schema")))


@commands.command("register")
def register(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The entry, TOML or JSON; - for JSON on standard input.")],
    as_json: AsJson = False,
) -> None:
    """Register a version of an action type. What weakens one needs a second platform administrator.

    FILE may be what `action-type show --json` printed, changed. What is left out comes from the tool.
    """
    entry = {name: value for name, value in _entry(file).items() if name not in _DECIDED_HERE}
    answer = Api().post("/v1/action-types", entry)
    if as_json:
        print_json(answer)
        return
    body = answer if isinstance(answer, dict) else {}
    made = body.get("entry") if isinstance(body.get("entry"), dict) else body
    named = f"{made.get('action_type')} version {made.get('registry_version')}" if made else "It"
    if body.get("in_force", True):
        say(f"{named} is in force.")
    else:
        say(f"{named} weakens the one before: it comes into force once a second platform administrator asks the same.")


def _entry(file: str) -> dict[str, Any]:
    text = read_text(file, "FILE")
    if not file.endswith(".toml"):
        return (
            json_object(text, "FILE") if text.lstrip().startswith("{") else wrong_usage("Write JSON or .toml.", "FILE")
        )
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        wrong_usage(f"This is not TOML: {error}.", "FILE")


def _latest(api: Api, action_type: str) -> dict[str, Any]:
    token: str | None = None
    while True:
        answer = api.get("/v1/action-types", limit=100, next_token=token)
        for entry in items(answer):
            if isinstance(entry, dict) and entry.get("action_type") == action_type:
                return entry
        token = understood(answer, Page).next_token
        if token is None:
            raise Failure(f"There is no action type {action_type}; see `enactor action-type list`.")


def _state(entry: dict[str, Any]) -> str:
    return "deprecated" if entry.get("deprecated_at") else "in force"

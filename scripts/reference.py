"""The reference parts of the documents, from what they are about; tests/docs/test_reference.py holds them to it.

python scripts/reference.py          exit status 1 and the names of the documents that are behind, if any
python scripts/reference.py --write  brings them up to date
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.main import get_command

from enactor.cli.app import application
from enactor.settings import ClaimNames, IssuerSettings, WebhookSettings
from enactor.settings.loading import names, variable
from enactor.settings.schema import Settings

ROOT = Path(__file__).resolve().parent.parent


def commands() -> str:
    """Every command with its usage, arguments and options, in the order of `enactor --help`."""
    root = get_command(application())
    parts: list[str] = []
    for words, command in _walk(("enactor",), root):
        described = (command.help or "").strip()
        parts.append(f"### `{' '.join(words)}`\n\n{described}\n")
        rows = [row for parameter in command.params if (row := _parameter(parameter))]
        if rows:
            parts.append("| argument or option | meaning |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _walk(words: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name, inner in command.commands.items():
        yield from _walk((*words, name), inner)


def _parameter(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        shown = parameter.metavar or parameter.name.upper()
        needed = "" if parameter.required else " (optional)"
    else:
        value = "" if parameter.is_flag else f" {parameter.metavar or _kind(parameter)}"
        shown = " / ".join((*parameter.opts, *parameter.secondary_opts)) + value
        needed = " (required)" if parameter.required else ""
    return f"| `{shown}`{needed} | {_cell(parameter.help or '')} |"


def _kind(parameter: Any) -> str:
    name = parameter.name.upper()
    return name.rsplit("_", maxsplit=1)[-1]


def settings() -> str:
    """Every setting: its variable, its default and what it does."""
    rows = ["| setting | variable | default | meaning |", "|---|---|---|---|"]
    for name in names():
        model: type[BaseModel] = Settings
        *groups, last = name.split(".")
        for group in groups:
            annotation = model.model_fields[group].annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                model = annotation
        field = model.model_fields[last]
        rows.append(f"| `{name}` | `{variable(name)}` | {_default(field)} | {_cell(field.description or '')} |")
    return "\n".join(rows) + "\n"


def members(model: type[BaseModel]) -> str:
    """Every member of a settings table."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, ClaimNames):
            for inner, member in group.model_fields.items():
                rows.append(f"| `{name}.{inner}` | {_default(member)} | {_cell(member.description or '')} |")
        else:
            rows.append(f"| `{name}` | {_default(field)} | {_cell(field.description or '')} |")
    return "\n".join(rows) + "\n"


def _default(field: Any) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


DOCUMENTS = {
    "docs/cli.md": {"commands": commands},
    "docs/operations.md": {
        "settings": settings,
        "issuers": lambda: members(IssuerSettings),
        "webhooks": lambda: members(WebhookSettings),
    },
}


def up_to_date(document: str, text: str) -> str:
    """The document's text with its generated parts as they should be."""
    for name, made in DOCUMENTS[document].items():
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{document} has no part {name}")
        text = f"{before}{begin}\n{made()}\n{end}{after}"
    return text


def main(arguments: list[str]) -> int:
    """Checks the documents, or writes them. Returns the exit status."""
    behind = []
    for document in DOCUMENTS:
        path = ROOT / document
        text = path.read_text(encoding="utf-8")
        wanted = up_to_date(document, text)
        if wanted == text:
            continue
        if "--write" in arguments:
            path.write_text(wanted, encoding="utf-8")
        else:
            behind.append(document)
    for document in behind:
        print(f"{document} is behind; run: python scripts/reference.py --write", file=sys.stderr)
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Where settings come from: flags, then `ENACTOR_*` variables, then `enactor.toml`, then the defaults."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from msgspec import Struct
from pydantic import BaseModel, ValidationError

from enactor.domain.errors import ConfigurationError
from enactor.settings.issuers import IssuerSettings
from enactor.settings.mcp import McpServerSettings
from enactor.settings.schema import Settings, WebhookSettings

PREFIX: Final = "ENACTOR_"
DEFAULT_FILE: Final = "enactor.toml"
NOT_SETTINGS: Final = frozenset({"ENACTOR_CONFIG", "ENACTOR_URL", "ENACTOR_TOKEN", "ENACTOR_FAULTS"})
"""Variables that say where the settings are, and what the client commands use."""

_WORDS: Final = {"model_type": "must be a table", "missing": "is missing"}
"""For what pydantic says in the words of Python."""

_MODELS: Final[dict[str, type[BaseModel]]] = {
    "issuers": IssuerSettings,
    "mcp_servers": McpServerSettings,
    "webhooks": WebhookSettings,
}


class Loaded(Struct, frozen=True, kw_only=True):
    """Settings, with where each comes from.

    Attributes:
        sources: by dotted name: `flag --port`, `ENACTOR_PORT`, the file's path, or `default`.
        file: the settings file that was read, or None.
    """

    settings: Settings
    sources: dict[str, str]
    file: Path | None


def load(flags: Mapping[str, Any], environment: Mapping[str, str], directory: Path = Path()) -> Loaded:
    """The settings in force.

    Args:
        flags: by setting name, what was given on the command line; None for what was not.
        environment: the process's variables.
        directory: where `enactor.toml` is looked for when `ENACTOR_CONFIG` names no other file.

    Raises:
        ConfigurationError: everything that is wrong, in `details["problems"]` one sentence each. A value is never in
            a message, because it may be a secret put in the wrong place.
    """
    file, from_file = _read_file(environment, directory)
    merged: dict[str, Any] = {}
    sources: dict[str, str] = dict.fromkeys(names(), "default")
    problems: list[str] = []
    for name, value in _leaves(from_file):
        _put(merged, name, value)
        sources[name] = str(file)
    for variable, name, text in _variables(environment):
        try:
            _put(merged, name, _decoded(name, text))
        except ValueError as error:
            problems.append(f"{variable}: {error}")
        sources[name] = variable
    for name, value in flags.items():
        if value is not None:
            _put(merged, name, value)
            sources[name] = f"flag --{name.replace('_', '-')}"
    if "dev_key_file" not in merged and (state := environment.get("XDG_STATE_HOME")):
        merged["dev_key_file"] = Path(state) / "enactor" / "dev-issuer.json"
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        problems += [_sentence(item, sources) for item in error.errors(include_url=False, include_input=False)]
    problems += _unknown_variables(environment, merged)
    if problems or settings is None:
        more = f" ({len(problems) - 1} more: see `enactor doctor`)" if len(problems) > 1 else ""
        raise ConfigurationError(f"{problems[0]}{more}", problems=problems)
    return Loaded(settings=settings, sources=sources, file=file)


def names() -> tuple[str, ...]:
    """The dotted names of all settings, in the order in which they are documented."""
    found: list[str] = []
    for name, field in Settings.model_fields.items():
        group = _group(field.annotation)
        found += [f"{name}.{member}" for member in group.model_fields] if group else [name]
    return tuple(found)


def variable(name: str) -> str:
    """The environment variable of a setting: `limits.body_bytes` is `ENACTOR_LIMITS__BODY_BYTES`."""
    return PREFIX + name.replace(".", "__").upper()


def _read_file(environment: Mapping[str, str], directory: Path) -> tuple[Path | None, dict[str, Any]]:
    named = environment.get("ENACTOR_CONFIG")
    path = Path(named) if named else directory / DEFAULT_FILE
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named:
            raise ConfigurationError(f"ENACTOR_CONFIG names {path}, which does not exist.") from None
        return None, {}
    except OSError as error:
        raise ConfigurationError(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        where = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8"
        raise ConfigurationError(f"The settings file {path} is not valid TOML: {where}.") from None


def _leaves(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings in a document; members of a group one by one, everything else whole."""
    for name, value in document.items():
        field = Settings.model_fields.get(name)
        if field is not None and _group(field.annotation) and isinstance(value, dict):
            for member, inner in value.items():
                yield f"{name}.{member}", inner
        else:
            yield name, value


def _variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name in names():
        text = environment.get(variable(name))
        if text is not None:
            yield variable(name), name, text


def _decoded(name: str, text: str) -> Any:
    """A variable's text as its setting takes it: lists of words by commas, everything structured as JSON."""
    group, dot, member = name.partition(".")
    annotation = Settings.model_fields[group].annotation
    if dot and (inner := _group(annotation)) is not None:
        annotation = inner.model_fields[member].annotation
    if get_origin(annotation) is tuple and _is_text(get_args(annotation)[0]) and not text.lstrip().startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    if get_origin(annotation) in (tuple, dict):
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError("must be JSON") from None
    return text


def _is_text(annotation: Any) -> bool:
    """Whether it is a text, a reference to a secret for example."""
    return getattr(annotation, "__origin__", annotation) is str


def _put(target: dict[str, Any], name: str, value: Any) -> None:
    first, dot, rest = name.partition(".")
    if dot:
        group = target.setdefault(first, {})
        if isinstance(group, dict):
            group[rest] = value
    else:
        target[first] = value


def _group(annotation: object) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _sentence(item: Any, sources: Mapping[str, str]) -> str:
    """One problem that pydantic found, as one sentence that names the setting and where it came from."""
    place = [part for part in item["loc"] if part not in ("function-before", "dict[str,any]")]
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    dotted = ".".join(str(part) for part in place[:2])
    source = sources.get(dotted) or sources.get(str(place[0]) if place else "", "")
    where = f" ({source})" if source and source != "default" else ""
    if item["type"] == "extra_forbidden":
        return f"Unknown setting {shown}{where}{_nearest(str(place[-1]), _siblings(place))}"
    message = _WORDS.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ")
    if not place:
        return message
    return f"{shown}{where}: {message[0].lower()}{message[1:]}"


def _siblings(place: list[str | int]) -> list[str]:
    model: type[BaseModel] | None = Settings
    for part in place[:-1]:
        if isinstance(part, int) or model is None:
            continue
        field = model.model_fields.get(part)
        model = _MODELS.get(part) or (_group(field.annotation) if field else None)
    return list(model.model_fields) if model else []


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.5)
    return f": did you mean {close[0]}?" if close else f": known are {', '.join(known)}" if known else ""


def _unknown_variables(environment: Mapping[str, str], merged: Mapping[str, Any]) -> list[str]:
    known = [variable(name) for name in names()]
    allowed = {*known, *NOT_SETTINGS, *_referenced(merged)}
    return [
        f"Unknown variable {name}{_nearest(name, known)}"
        for name in sorted(environment)
        if name.startswith(PREFIX) and name not in allowed
    ]


def _referenced(value: object) -> Iterator[str]:
    """Variables that hold secrets, as references anywhere in the settings name them."""
    if isinstance(value, str) and value.startswith("env:"):
        yield value.removeprefix("env:")
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _referenced(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _referenced(member)

"""OpenAPI documents (3.0 and 3.1): read from a file or the settings, and their references followed."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import orjson
from msgspec import Struct

from enactor.domain.errors import ConfigurationError
from enactor.gateway.pointing import pointed_at

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_DEEPEST: Final = 32


class FoundOperation(Struct, frozen=True):
    """An operation as the document has it. `parameters` are the path's too, references followed."""

    method: str
    path: str
    operation: Mapping[str, Any]
    parameters: tuple[Mapping[str, Any], ...]


class Document:
    """One OpenAPI document.

    Args:
        content: the document itself.
        what: names it in messages.

    Raises:
        ConfigurationError: it is no OpenAPI document of a version that is understood.
    """

    def __init__(self, content: Any, what: str) -> None:
        self.what = what
        if not isinstance(content, Mapping) or not isinstance(content.get("openapi"), str):
            raise ConfigurationError(f"{what}: that is no OpenAPI document; its first line says openapi: 3.1.0.")
        self.version = ".".join(content["openapi"].split(".")[:2])
        if self.version not in ("3.0", "3.1"):
            raise ConfigurationError(f"{what}: OpenAPI {content['openapi'][:20]} is not understood; 3.0 and 3.1 are.")
        if not isinstance(content.get("paths"), Mapping):
            raise ConfigurationError(f"{what}: the document has no paths.")
        self._content = content

    @staticmethod
    def read(source: Path | Mapping[str, Any], what: str) -> Document:
        """The document in a file, or given itself. Raises `ConfigurationError`."""
        if isinstance(source, Mapping):
            return Document(source, what)
        try:
            content = source.expanduser().read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{what}: {source} cannot be read: {error.strerror}.") from None
        if source.suffix in (".yaml", ".yml"):
            return Document(_yaml(content, source, what), what)
        try:
            return Document(orjson.loads(content), what)
        except ValueError:
            raise ConfigurationError(f"{what}: {source} is not JSON; a YAML file is named .yaml.") from None

    def operation(self, name: str) -> FoundOperation:
        """The operation of an operationId, or of a method and path such as `POST /orders`.

        Raises:
            ConfigurationError: there is none, or more than one; or a reference in it leads nowhere.
        """
        method, _, path = name.partition(" ")
        found = [
            one
            for one in self._operations()
            if one.operation.get("operationId") == name or (one.method == method.upper() and one.path == path)
        ]
        if len(found) != 1:
            count = "no" if not found else "more than one"
            raise ConfigurationError(f"{self.what}: the document has {count} operation '{name[:200]}'.")
        return found[0]

    def followed(self, node: Any) -> Mapping[str, Any]:
        """What a node is, once its references are followed. Raises `ConfigurationError`."""
        for _ in range(_DEEPEST):
            if not isinstance(node, Mapping):
                raise ConfigurationError(f"{self.what}: there is something else in place of an object.")
            if "$ref" not in node:
                return node
            node = self.referred(node["$ref"])
        raise ConfigurationError(f"{self.what}: a reference refers to itself.")

    def referred(self, reference: Any) -> Any:
        """What a reference names. Only references into the document itself are followed.

        Raises:
            ConfigurationError: it names another document, or nothing.
        """
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise ConfigurationError(
                f"{self.what}: '{str(reference)[:200]}' refers to another document; bundle them into one."
            )
        try:
            return pointed_at(self._content, unquote(reference[1:]))
        except KeyError:
            raise ConfigurationError(f"{self.what}: there is nothing at '{reference[:200]}'.") from None

    def _operations(self) -> list[FoundOperation]:
        found = []
        for path, listed in self._content["paths"].items():
            item = self.followed(listed)
            for method in METHODS:
                if isinstance(operation := item.get(method), Mapping):
                    parameters = self._parameters(item, operation)
                    found.append(FoundOperation(method.upper(), str(path), operation, parameters))
        return found

    def _parameters(self, item: Mapping[str, Any], operation: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
        """The path's parameters and the operation's; the latter win where name and place are the same."""
        merged: dict[tuple[str, str], Mapping[str, Any]] = {}
        for holder in (item, operation):
            listed = holder.get("parameters", [])
            if not isinstance(listed, list):
                raise ConfigurationError(f"{self.what}: parameters are a list.")
            for one in listed:
                parameter = self.followed(one)
                merged[str(parameter.get("name")), str(parameter.get("in"))] = parameter
        return tuple(merged.values())


def _yaml(content: bytes, source: Path, what: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise ConfigurationError(f"{what}: a YAML document needs PyYAML: pip install 'enactor[openapi]'.") from None
    try:
        return _plain(yaml.safe_load(content))
    except (yaml.YAMLError, RecursionError):
        raise ConfigurationError(f"{what}: {source} is not YAML.") from None


def _plain(value: Any) -> Any:
    """YAML's values as JSON's: keys are text (the status 200 is a number in YAML), and so are days and instants."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, datetime.date) else value

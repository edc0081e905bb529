"""Schemas of OpenAPI documents as JSON Schema (draft 2020-12), the dialect in which arguments are validated.

References stay references, to `$defs`, so that a schema may contain itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from enactor.connectors.openapi.document import Document
from enactor.domain.canonical import digest
from enactor.domain.errors import ConfigurationError

_ONE: Final = ("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then")
_ONE_MORE: Final = ("unevaluatedItems", "unevaluatedProperties")
_SEVERAL: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED: Final = ("patternProperties", "dependentSchemas")
_DROPPED: Final = frozenset({"discriminator", "example", "examples", "externalDocs", "nullable", "readOnly", "xml"})
_UNKNOWN: Final = ("$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveRef", "$schema")
_COMPONENT: Final = re.compile(r"#/components/schemas/([A-Za-z0-9._-]{1,100})")


class Schemas:
    """The schemas of one operation's arguments.

    Attributes:
        definitions: what the converted schemas refer to, by name, under `$defs`.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self.definitions: dict[str, Any] = {}

    def converted(self, schema: Any) -> Any:
        """A schema in JSON Schema's dialect, without what only answers have. Raises `ConfigurationError`."""
        if isinstance(schema, bool) and self._document.version != "3.0":
            return schema
        if not isinstance(schema, Mapping):
            raise ConfigurationError(f"{self._document.what}: there is something else in place of a schema.")
        for name in _UNKNOWN:
            if name in schema:
                raise ConfigurationError(f"{self._document.what}: schemas with {name} are not understood.")
        if "$ref" not in schema:
            return self._keywords(schema)
        reference = {"$ref": f"#/$defs/{self._defined(schema['$ref'])}"}
        # Beside a reference, 3.0 ignores every keyword; 3.1 does not.
        others = {name: value for name, value in schema.items() if name != "$ref"}
        return reference if self._document.version == "3.0" else {**self._keywords(others), **reference}

    def _defined(self, reference: Any) -> str:
        component = _COMPONENT.fullmatch(str(reference))
        name = component[1] if component else digest(str(reference))[:16]
        if name not in self.definitions:
            self.definitions[name] = True  # so that a schema that contains itself ends here
            self.definitions[name] = self.converted(self._document.referred(reference))
        return name

    def _keywords(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        made = {
            name: value for name, value in schema.items() if name not in _DROPPED and not str(name).startswith("x-")
        }
        for name in (*_ONE, *_ONE_MORE):
            if name in made and not (isinstance(made[name], bool) and name.startswith(("additional", "unevaluated"))):
                made[name] = self.converted(made[name])
        for name in _SEVERAL:
            if name in made:
                made[name] = [self.converted(one) for one in self._list(made[name])]
        for name in _NAMED:
            if name in made:
                made[name] = {key: self.converted(one) for key, one in self._table(made[name]).items()}
        if "properties" in made:
            self._properties(made)
        return _of_3_0(made, schema) if self._document.version == "3.0" else made

    def _properties(self, made: dict[str, Any]) -> None:
        """The properties that a request may have: what is readOnly is the target's to say."""
        properties = self._table(made["properties"])
        read_only = {
            name
            for name, one in properties.items()
            if isinstance(one, Mapping) and (one.get("readOnly") is True or self._followed_read_only(one))
        }
        made["properties"] = {n: self.converted(one) for n, one in properties.items() if n not in read_only}
        if "required" in made:
            made["required"] = [name for name in self._list(made["required"]) if name not in read_only]

    def _followed_read_only(self, schema: Mapping[str, Any]) -> bool:
        return "$ref" in schema and self._document.followed(schema).get("readOnly") is True

    def _list(self, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ConfigurationError(f"{self._document.what}: a schema has something else in place of a list.")
        return value

    def _table(self, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{self._document.what}: a schema has something else in place of its properties.")
        return value


def _of_3_0(made: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """What OpenAPI 3.0 says in its own way: `nullable`, and bounds that a boolean makes exclusive."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(made.get(exclusive), bool) and made.pop(exclusive) and bound in made:
            made[exclusive] = made.pop(bound)
    if schema.get("nullable") is not True:
        return made
    if isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        if isinstance(made.get("enum"), list) and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
        return made
    return {"anyOf": [made, {"type": "null"}]}

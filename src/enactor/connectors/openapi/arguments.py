"""Argument models over a JSON Schema, for tools that are described and not written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jsonschema_rs
from pydantic import RootModel, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from enactor.connectors.openapi.requests import WrongArgument
from enactor.domain.errors import ConfigurationError

Check = Callable[[Mapping[str, Any]], None]


class SchemaArguments(RootModel[dict[str, Any]]):
    """Arguments that a schema describes; `arguments_of` makes its subclasses."""

    arguments_schema: ClassVar[dict[str, Any]]
    validator: ClassVar[jsonschema_rs.Draft202012Validator]
    check: ClassVar[Check]

    @model_validator(mode="after")
    def _fits(self) -> SchemaArguments:
        error = next(iter(type(self).validator.iter_errors(self.root)), None)
        if error is not None:
            raise _wrong(tuple(error.instance_path), error.message[:300])
        try:
            type(self).check(self.root)
        except WrongArgument as wrong:
            raise _wrong((wrong.argument,), wrong.why) from None
        return self

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """The schema itself."""
        return cls.arguments_schema


def arguments_of(name: str, schema: dict[str, Any], check: Check) -> type[SchemaArguments]:
    """The model of arguments that a schema describes, and that `check` lets pass besides.

    Args:
        name: names the tool in messages.
        schema: in draft 2020-12.
        check: raises `WrongArgument` for arguments of which no request can be made.

    Raises:
        ConfigurationError: the schema is none.
    """
    try:
        # Masked: what was sent may be a secret.
        validator = jsonschema_rs.Draft202012Validator(
            schema, offline=True, validate_formats=True, mask="what was sent"
        )
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise ConfigurationError(f"{name}: the schema of its arguments is none: {str(error)[:200]}") from None
    members = {"arguments_schema": schema, "validator": validator, "check": staticmethod(check)}
    return type("Arguments", (SchemaArguments,), {**members, "__module__": __name__})


def _wrong(where: tuple[str | int, ...], why: str) -> ValidationError:
    # A validator may raise one, and the places in it are kept.
    error = PydanticCustomError("openapi", "{why}", {"why": why})
    return ValidationError.from_exception_data("Arguments", [InitErrorDetails(type=error, loc=where, input=None)])

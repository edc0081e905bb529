"""Parameters to tool arguments: validated and mapped once, at proposal, and never again (specification, section 1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from enactor.domain.action_type import ActionType, ParameterMapping, Transform
from enactor.domain.errors import ConfigurationError, InvalidParameters

CustomTransform = Callable[[Any], Any]

_FIELD: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def is_secret_reference(value: Any) -> bool:
    """Whether `value` is `{"$secret": name}`."""
    return isinstance(value, dict) and set(value) == {"$secret"} and isinstance(value["$secret"], str)


def _apply(mapping: ParameterMapping, value: Any, functions: Mapping[str, CustomTransform]) -> Any:
    match mapping.transform:
        case Transform.PASSTHROUGH:
            return value
        case Transform.UPPERCASE | Transform.LOWERCASE:
            if not isinstance(value, str):
                raise InvalidParameters(f"Parameter '{mapping.param}' must be text for {mapping.transform}.")
            return value.upper() if mapping.transform is Transform.UPPERCASE else value.lower()
        case Transform.CUSTOM:
            function = functions.get(mapping.function or "")
            if function is None:
                raise ConfigurationError(
                    f"The mapping of '{mapping.param}' names the function '{mapping.function}', not registered."
                )
            try:
                return function(value)
            except (ValueError, TypeError, KeyError) as error:
                raise InvalidParameters(
                    f"Parameter '{mapping.param}' was not accepted by the transform '{mapping.function}'."
                ) from error


def map_parameters(
    entry: ActionType, parameters: Mapping[str, Any], functions: Mapping[str, CustomTransform]
) -> dict[str, Any]:
    """The tool's arguments for `parameters`.

    Args:
        entry: the pinned registry entry.
        parameters: as proposed, already valid against the entry's schema.
        functions: the registered CUSTOM transforms by name.

    Raises:
        InvalidParameters: a required parameter is missing, one has no mapping, or a transform refuses it.
        ConfigurationError: the entry names a transform that is not registered.
    """
    unknown = sorted(set(parameters) - {mapping.param for mapping in entry.parameter_mapping})
    if unknown:
        raise InvalidParameters(f"Unknown parameter '{unknown[0]}' for {entry.action_type}.", parameter=unknown[0])
    arguments: dict[str, Any] = {}
    for mapping in entry.parameter_mapping:
        if mapping.param not in parameters:
            if mapping.required:
                raise InvalidParameters(
                    f"Parameter '{mapping.param}' is required for {entry.action_type}.", parameter=mapping.param
                )
            continue
        value = parameters[mapping.param]
        arguments[mapping.tool_param] = value if is_secret_reference(value) else _apply(mapping, value, functions)
    return arguments


def render(template: str, parameters: Mapping[str, Any]) -> str:
    """Fills `{name}` in a registry template with parameter values; a missing one stays visibly missing.

    Text an agent wrote is shown through `enactor.domain.text.visible` by whoever displays the result.
    """

    def value(match: re.Match[str]) -> str:
        item = parameters.get(match[1])
        if item is None:
            return "-"
        return "a secret" if is_secret_reference(item) else str(item)

    return _FIELD.sub(value, template)


def template_fields(template: str) -> tuple[str, ...]:
    """The parameter names a template uses, in order."""
    return tuple(_FIELD.findall(template))

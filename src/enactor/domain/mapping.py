"""Parameters to tool arguments: validated and mapped once, at proposal, and never again (specification, section 1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from enactor.domain.action_type import ActionType, ParameterMapping, Transform
from enactor.domain.errors import ConfigurationError, InvalidParameters

CustomTransform = Callable[[Any], Any]

_TEMPLATES: Final = 1_024
_FIELD: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def is_secret_reference(value: Any) -> bool:
    """Whether `value` is `{"$secret": name}`."""
    return isinstance(value, dict) and set(value) == {"$secret"} and isinstance(value["$secret"], str)


def _transformed(mapping: ParameterMapping, value: Any, functions: Mapping[str, CustomTransform]) -> Any:
    if mapping.transform is Transform.CUSTOM:
        return _custom(mapping, value, functions)
    if not isinstance(value, str):
        raise InvalidParameters(f"Parameter '{mapping.param}' must be text for {mapping.transform}.")
    return value.upper() if mapping.transform is Transform.UPPERCASE else value.lower()


def _custom(mapping: ParameterMapping, value: Any, functions: Mapping[str, CustomTransform]) -> Any:
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
    if unknown := sorted(parameters.keys() - {mapping.param for mapping in entry.parameter_mapping}):
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
        unchanged = mapping.transform is Transform.PASSTHROUGH or is_secret_reference(value)
        arguments[mapping.tool_param] = value if unchanged else _transformed(mapping, value, functions)
    return arguments


def render(template: str, parameters: Mapping[str, Any]) -> str:
    """Fills `{name}` in a registry template with parameter values; a missing one stays visibly missing.

    Text an agent wrote is shown through `enactor.domain.text.visible` by whoever displays the result.
    """

    # Every second part is a name.
    parts = list(_parts(template))
    for index in range(1, len(parts), 2):
        parts[index] = _shown(parameters.get(parts[index]))
    return "".join(parts)


@lru_cache(maxsize=_TEMPLATES)
def _parts(template: str) -> tuple[str, ...]:
    return tuple(_FIELD.split(template))


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return "a secret" if is_secret_reference(value) else str(value)


def template_fields(template: str) -> tuple[str, ...]:
    """The parameter names a template uses, in order."""
    return tuple(_FIELD.findall(template))

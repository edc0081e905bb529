"""Checking a policy that speaks of arguments, whose types no schema knows.

Cedar's validator wants to know the type of everything, and `context.arguments` differs by action type. So a policy is
validated in a form without arguments: where only one type fits, something of that type stands in
(`context.arguments.amount <= 50` becomes `0 <= 50`); where any type does, what the argument is held against is looked
at alone (`context.arguments.currency == resource.curency` becomes `[resource.curency].isEmpty()`, and the misspelling
is found). The form is only ever validated; what is evaluated is the policy as written. It grows no faster than the
policy does: nothing is ever written into it twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

Tree = dict[str, Any]
"""An expression in Cedar's JSON policy format: one operator, and its operands."""

OPEN_RECORDS: Final = frozenset({"arguments", "decimals"})
MAX_DEPTH: Final = 30
"""Operators within operators: Cedar prints the form with brackets around each, and its parser recurses into those."""

_BOOLEAN: Final[Tree] = {
    "==": {
        "left": {".": {"left": {"Var": "principal"}, "attr": "issuer"}},
        "right": {".": {"left": {"Var": "principal"}, "attr": "subject"}},
    }
}
"""A Boolean that the validator cannot know beforehand: a constant would keep it from looking at what follows."""

_LONG: Final[Tree] = {"Value": 0}
_DECIMAL: Final[Tree] = {"decimal": [{"Value": "0.0"}]}
_TEXT: Final[Tree] = {"Value": ""}
"""Also where only an entity or an address can stand, which no argument is: it makes the validator object."""

_CHAINS: Final = frozenset({"&&", "||"})
_LEAVES: Final = frozenset({"Value", "Var", "Slot"})
_OPERAND_NAMES: Final = frozenset({"left", "right", "arg", "if", "then", "else", "in"})
_CONSTRUCTORS: Final = {"decimal": "0.0", "ip": "127.0.0.1", "datetime": "2000-01-01", "duration": "1h"}


def mentions_arguments(policy: Tree) -> bool:
    """Whether any condition of a policy speaks of an argument."""
    return any(_is_argument(node) for node, _ in _nodes(policy["conditions"]))


def calls(policy: Tree, function: str) -> bool:
    """Whether any condition of a policy calls the extension function."""
    return any(isinstance(node.get(function), list) for node, _ in _nodes(policy["conditions"]))


def without_arguments(policy: Tree) -> Tree | None:
    """The form of a policy that the validator can judge, or None if it is nested too deeply."""
    if _depth(policy["conditions"], chains_are_flat=True) > MAX_DEPTH:
        return None
    conditions = [{**condition, "body": _known(condition["body"], _BOOLEAN)} for condition in policy["conditions"]]
    return {**policy, "conditions": conditions} if _depth(conditions) <= MAX_DEPTH else None


def _depth(conditions: list[Tree], *, chains_are_flat: bool = False) -> int:
    """How many operators lie within each other at most. `a && b && c` can count as one."""
    return max((depth for _, depth in _nodes(conditions, chains_are_flat=chains_are_flat)), default=0)


def _nodes(conditions: list[Tree], *, chains_are_flat: bool = False) -> Iterator[tuple[Tree, int]]:
    """All expressions, each with its depth. A loop, not a recursion: a policy may have more levels than Python."""
    pending: list[tuple[Tree, int, str]] = [(condition["body"], 1, "") for condition in conditions]
    while pending:
        node, depth, parent = pending.pop()
        operator, operands = next(iter(node.items()))
        if chains_are_flat and operator == parent and operator in _CHAINS:
            depth -= 1
        yield node, depth
        pending += [(operand, depth + 1, operator) for operand in _expressions(operator, operands)]


def _expressions(operator: str, operands: Any) -> list[Tree]:
    """The expressions that an operator is applied to."""
    if operator in _LEAVES:
        return []
    if isinstance(operands, list):
        return operands
    names = operands if operator == "Record" else _OPERAND_NAMES & operands.keys()
    return [operands[name] for name in names]


def _is_argument(node: Tree) -> bool:
    while "." in node:
        if node["."]["left"] == {"Var": "context"}:
            return node["."]["attr"] in OPEN_RECORDS
        node = node["."]["left"]
    return False


def _known(node: Tree, otherwise: Tree) -> Tree:
    rewritten = _rewrite(node)
    return otherwise if rewritten is None else rewritten


def _rewrite(node: Tree) -> Tree | None:
    """`node` without arguments; None if it is one, or made of nothing else."""
    if _is_argument(node):
        return None
    operator, operands = next(iter(node.items()))
    if operator in _CHAINS:
        return _balanced(operator, [_known(operand, _BOOLEAN) for operand in _chain(operator, node)])
    rewrite = _BY_OPERATOR.get(operator)
    if rewrite is not None:
        return rewrite(operator, operands)
    if operator in _CONSTRUCTORS:
        return {operator: [_known(operand, {"Value": _CONSTRUCTORS[operator]}) for operand in operands]}
    if operator in _LEAVES:
        return node
    return {operator: [_known(operand, _TEXT) for operand in operands]}


def _chain(operator: str, node: Tree) -> list[Tree]:
    """The operands of `a && b && c`, however it is bracketed."""
    found: list[Tree] = []
    pending = [node]
    while pending:
        current = pending.pop()
        if operator in current:
            pending += (current[operator]["right"], current[operator]["left"])
        else:
            found.append(current)
    return found


def _balanced(operator: str, operands: list[Tree]) -> Tree:
    """The same chain, bracketed so that it is shallow; neither order nor short circuits change."""
    if len(operands) == 1:
        return operands[0]
    middle = len(operands) // 2
    return _binary(operator, _balanced(operator, operands[:middle]), _balanced(operator, operands[middle:]))


def _binary(operator: str, left: Tree, right: Tree) -> Tree:
    return {operator: {"left": left, "right": right}}


def _looked_at(known: Tree | None) -> Tree:
    """A Boolean that has the validator look at `known`, whatever its type."""
    return _BOOLEAN if known is None else {"isEmpty": {"arg": {"Set": [known]}}}


def _equality(operator: str, operands: Tree) -> Tree | None:
    left, right = _rewrite(operands["left"]), _rewrite(operands["right"])
    if left is None or right is None:
        return _looked_at(right if left is None else left)
    return _binary(operator, left, right)


def _order(operator: str, operands: Tree) -> Tree | None:
    """An argument is never a datetime or a duration, so it can only be compared as a number."""
    return _binary(operator, _known(operands["left"], _LONG), _known(operands["right"], _LONG))


def _decimal_order(operator: str, operands: list[Tree]) -> Tree | None:
    return {operator: [_known(operand, _DECIMAL) for operand in operands]}


def _arithmetic(operator: str, operands: Tree) -> Tree | None:
    return _binary(operator, _known(operands["left"], _LONG), _known(operands["right"], _LONG))


def _not(operator: str, operands: Tree) -> Tree | None:
    return {operator: {"arg": _known(operands["arg"], _BOOLEAN)}}


def _minus(operator: str, operands: Tree) -> Tree | None:
    return {operator: {"arg": _known(operands["arg"], _LONG)}}


def _like(operator: str, operands: Tree) -> Tree | None:
    return {operator: {**operands, "left": _known(operands["left"], _TEXT)}}


def _has(operator: str, operands: Tree) -> Tree | None:
    left = _rewrite(operands["left"])
    return _BOOLEAN if left is None else {operator: {**operands, "left": left}}


def _field(operator: str, operands: Tree) -> Tree | None:
    left = _rewrite(operands["left"])
    return None if left is None else {operator: {**operands, "left": left}}


def _is_empty(operator: str, operands: Tree) -> Tree | None:
    argument = _rewrite(operands["arg"])
    return _BOOLEAN if argument is None else {operator: {"arg": argument}}


def _entity_test(operator: str, operands: Tree) -> Tree | None:
    """`in`, `is` and tags, which arguments do not have."""
    names = [name for name in ("left", "right", "in") if name in operands]
    return {operator: {**operands, **{name: _known(operands[name], _TEXT) for name in names}}}


def _contains(operator: str, operands: Tree) -> Tree | None:
    collection, element = _rewrite(operands["left"]), _rewrite(operands["right"])
    if collection is None:
        return _looked_at(element)
    return {"isEmpty": {"arg": collection}} if element is None else _binary(operator, collection, element)


def _contains_several(operator: str, operands: Tree) -> Tree | None:
    left, right = _rewrite(operands["left"]), _rewrite(operands["right"])
    if left is not None and right is not None:
        return _binary(operator, left, right)
    known = right if left is None else left
    return _BOOLEAN if known is None else {"isEmpty": {"arg": known}}


def _choice(operator: str, operands: Tree) -> Tree | None:
    condition = _known(operands["if"], _BOOLEAN)
    chosen, otherwise = _rewrite(operands["then"]), _rewrite(operands["else"])
    if chosen is not None and otherwise is not None:
        return {operator: {"if": condition, "then": chosen, "else": otherwise}}
    known = otherwise if chosen is None else chosen
    if known is None:
        return None
    # A record's field has the type of the one branch that is known, and the condition beside it is looked at.
    return {".": {"left": {"Record": {"branch": known, "condition": {"!": {"arg": condition}}}}, "attr": "branch"}}


def _set(operator: str, operands: list[Tree]) -> Tree | None:
    known = [element for element in map(_rewrite, operands) if element is not None]
    return {operator: known} if known or not operands else None


def _record(operator: str, operands: Tree) -> Tree | None:
    fields = {name: _rewrite(value) for name, value in operands.items()}
    return None if None in fields.values() else {operator: fields}


_BY_OPERATOR: Final[dict[str, Callable[[str, Any], Tree | None]]] = {
    **dict.fromkeys(("==", "!="), _equality),
    **dict.fromkeys(("<", "<=", ">", ">="), _order),
    **dict.fromkeys(("lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"), _decimal_order),
    **dict.fromkeys(("+", "-", "*"), _arithmetic),
    **dict.fromkeys(("in", "is", "getTag", "hasTag"), _entity_test),
    **dict.fromkeys(("containsAll", "containsAny"), _contains_several),
    "!": _not,
    "neg": _minus,
    "like": _like,
    "has": _has,
    ".": _field,
    "isEmpty": _is_empty,
    "contains": _contains,
    "if-then-else": _choice,
    "Set": _set,
    "Record": _record,
}

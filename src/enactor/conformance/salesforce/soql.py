"""The part of SOQL that clients of the local server use: one object, AND of comparisons, an order and a limit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

_TOKEN: Final = re.compile(r"\s*(?:('(?:[^'\\]|\\.)*')|(!=|>=|<=|=|<|>|\(|\)|,)|([A-Za-z0-9_.:+-]+))")
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": lambda left, right: _folded(left) == _folded(right),
    "!=": lambda left, right: _folded(left) != _folded(right),
    "<": lambda left, right: left is not None and left < right,
    ">": lambda left, right: left is not None and left > right,
    "<=": lambda left, right: left is not None and left <= right,
    ">=": lambda left, right: left is not None and left >= right,
}


class MalformedQuery(Exception):
    """The text is not SOQL that is understood here."""


class Query(Struct, frozen=True):
    """A parsed query. `conditions` are field, comparison and value, all of which must hold."""

    fields: tuple[str, ...]
    source: str
    conditions: tuple[tuple[str, str, Any], ...]
    order: tuple[str, bool] | None
    limit: int | None

    def matches(self, record: dict[str, Any]) -> bool:
        """Whether a record, whose fields are named as in the query, is one of the rows."""
        for field, comparison, value in self.conditions:
            if comparison == "IN":
                if _folded(record.get(field)) not in [_folded(one) for one in value]:
                    return False
            elif not _COMPARISONS[comparison](record.get(field), value):
                return False
        return True


def parse(text: str) -> Query:
    """Parses a query. Raises `MalformedQuery`."""
    words = _Words(text)
    words.keyword("SELECT")
    fields = [words.name()]
    while words.take(","):
        fields.append(words.name())
    words.keyword("FROM")
    source = words.name()
    conditions: list[tuple[str, str, Any]] = []
    if words.is_keyword("WHERE"):
        conditions.append(_condition(words))
        while words.is_keyword("AND"):
            conditions.append(_condition(words))
    order = None
    if words.is_keyword("ORDER"):
        words.keyword("BY")
        field = words.name()
        descending = words.is_keyword("DESC")
        if not descending:
            words.is_keyword("ASC")
        order = (field, descending)
    limit = int(words.name()) if words.is_keyword("LIMIT") else None
    words.end()
    return Query(tuple(fields), source, tuple(conditions), order, limit)


def _condition(words: _Words) -> tuple[str, str, Any]:
    field = words.name()
    if words.is_keyword("IN"):
        words.expect("(")
        values = [words.value()]
        while words.take(","):
            values.append(words.value())
        words.expect(")")
        return field, "IN", values
    comparison = words.next()
    if comparison not in _COMPARISONS:
        raise MalformedQuery(f"unexpected token: '{comparison}'")
    return field, comparison, words.value()


class _Words:
    def __init__(self, text: str) -> None:
        self._words: list[str] = []
        at, text = 0, text.strip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise MalformedQuery(f"unexpected token: '{text[at : at + 20]}'")
            self._words.append(match[0].strip())
            at = match.end()
        self._at = 0

    def next(self) -> str:
        if self._at >= len(self._words):
            raise MalformedQuery("unexpected token: '<EOF>'")
        self._at += 1
        return self._words[self._at - 1]

    def take(self, word: str) -> bool:
        if self._at < len(self._words) and self._words[self._at] == word:
            self._at += 1
            return True
        return False

    def is_keyword(self, word: str) -> bool:
        if self._at < len(self._words) and self._words[self._at].upper() == word:
            self._at += 1
            return True
        return False

    def keyword(self, word: str) -> None:
        if not self.is_keyword(word):
            raise MalformedQuery(f"expecting {word}")

    def expect(self, word: str) -> None:
        if not self.take(word):
            raise MalformedQuery(f"expecting '{word}'")

    def name(self) -> str:
        word = self.next()
        if not re.fullmatch(r"[A-Za-z0-9_.]+", word):
            raise MalformedQuery(f"unexpected token: '{word}'")
        return word

    def value(self) -> Any:
        word = self.next()
        if word.startswith("'"):
            return re.sub(r"\\(.)", r"\1", word[1:-1])
        constants: dict[str, Any] = {"null": None, "true": True, "false": False}
        if word.lower() in constants:
            return constants[word.lower()]
        try:
            return float(word)
        except ValueError:
            return word

    def end(self) -> None:
        if self._at < len(self._words):
            raise MalformedQuery(f"unexpected token: '{self._words[self._at]}'")


def _folded(value: object) -> object:
    """SOQL compares text without regard to case."""
    return value.lower() if isinstance(value, str) else value

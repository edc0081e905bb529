"""Cutting policy text into its statements, with places: Cedar's own errors do not say where.

Also the limits that keep hostile text from Cedar, whose parser recurses: deep nesting overflows the stack and takes
the whole process with it. The limits hold with room to spare on a thread with a stack of 512 KiB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from enactor.domain.errors import InvalidPolicy

MAX_CHARACTERS: Final = 65_536
"""Of a tenant's whole policy text."""

MAX_NESTING: Final = 20
"""Brackets within brackets."""

MAX_OPERATORS: Final = 200
"""In one policy, dots and `if` among them."""

_TOKEN: Final = re.compile(
    r"""
    (?P<gap>(?:\s|//[^\r\n]*)+)
    | (?P<text>"(?:\\.|[^"\\])*")
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<number>[0-9]+)
    | (?P<sign>::|&&|\|\||[=!<>]=|[@(){}\[\],;:.<>=!+\-*/%?])
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")
_OPERATORS: Final = frozenset({"&&", "||", ".", "+", "-", "*", "if", "has", "[", "!"})


class Place(Struct, frozen=True):
    """Where in a text; both count from 1."""

    line: int
    column: int

    @classmethod
    def of(cls, text: str, offset: int) -> Place:
        """The place of the character at `offset`."""
        return cls(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))

    def refuse(self, problem: str) -> InvalidPolicy:
        """The error that says `problem` here."""
        return InvalidPolicy(f"Line {self.line}, column {self.column}: {problem}", line=self.line, column=self.column)


class Token(Struct, frozen=True):
    """One token: its text and where it starts."""

    text: str
    start: int

    @property
    def end(self) -> int:
        """The offset just after it."""
        return self.start + len(self.text)


class Statement(Struct, frozen=True):
    """One policy's tokens, the closing semicolon included if it is there, in the `source` they come from."""

    source: str
    tokens: tuple[Token, ...]

    @property
    def place(self) -> Place:
        """Where it starts."""
        return Place.of(self.source, self.tokens[0].start)

    @property
    def text(self) -> str:
        """As it was written, comments inside it included."""
        return self.first(len(self.tokens))

    def first(self, count: int) -> str:
        """The text of its first `count` tokens."""
        return self.source[self.tokens[0].start : self.tokens[count - 1].end]


def statements(text: str) -> Iterator[Statement]:
    """The statements of `text`, one by one. The last one may lack its semicolon.

    Raises:
        InvalidPolicy: too long, too deeply nested, too many operators, or a character no policy can have.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidPolicy(f"The policies have {len(text)} characters; write at most {MAX_CHARACTERS}.")
    pending: list[Token] = []
    nesting = operators = 0
    for token in _tokens(text):
        pending.append(token)
        nesting = max(0, nesting + (token.text in _OPENING) - (token.text in _CLOSING))
        operators += token.text in _OPERATORS
        if nesting > MAX_NESTING:
            raise Place.of(text, token.start).refuse(f"Brackets are nested deeper than {MAX_NESTING}.")
        if operators > MAX_OPERATORS:
            raise Place.of(text, token.start).refuse(
                f"This policy has more than {MAX_OPERATORS} operators; split it, or compare with a set."
            )
        if token.text == ";":
            yield Statement(text, tuple(pending))
            pending, nesting, operators = [], 0, 0
    if pending:
        yield Statement(text, tuple(pending))


def _tokens(text: str) -> Iterator[Token]:
    offset = 0
    while offset < len(text):
        found = _TOKEN.match(text, offset)
        if found is None:
            problem = "this text has no closing quote." if text[offset] == '"' else "no policy can have this character."
            raise Place.of(text, offset).refuse(problem)
        if found.lastgroup != "gap":
            yield Token(found[0], offset)
        offset = found.end()

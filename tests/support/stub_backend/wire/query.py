"""GraphQL documents: the selected fields and their arguments. One operation, no fragments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_TOKEN = re.compile(
    r'[\s,]*(?:(?P<word>[A-Za-z_]\w*)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?)'
    r"|(?P<mark>[{}()\[\]:$!=@]))"
)
_END = "<EOF>"


class GraphqlError(Exception):
    """A document is refused; `column` counts from 1, 0 if it does not matter."""

    def __init__(self, words: str, column: int, code: str) -> None:
        super().__init__(words)
        self.column = column
        self.code = code


class Variable(str):
    """The name of a variable in the place of a value."""

    __slots__ = ()


class Token(NamedTuple):
    """One token and its column."""

    kind: str
    text: str
    column: int


@dataclass
class Field:
    """One selected field."""

    name: str
    column: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, int] = field(default_factory=dict)  # of the arguments' values
    fields: list[Field] = field(default_factory=list)


def parse(document: str) -> list[Field]:
    """Read the selection of the one operation.

    Raises:
        GraphqlError: the syntax is wrong.
    """
    return _Parser(document).operation()


class _Parser:
    def __init__(self, document: str) -> None:
        self._tokens = list(_tokens(document))

    def operation(self) -> list[Field]:
        if self._peek().kind == "word":
            self._skip_head()
        return self._selection()

    def _peek(self) -> Token:
        return self._tokens[0]

    def _next(self) -> Token:
        return self._tokens.pop(0)

    def _expect(self, mark: str) -> Token:
        token = self._next()
        if token.text != mark:
            raise _unexpected(mark, token)
        return token

    def _skip_head(self) -> None:
        """Skip `query Name($f:[JobFilter!])`: the handler knows its variables."""
        while self._peek().text not in {"{", _END}:
            self._next()

    def _selection(self) -> list[Field]:
        self._expect("{")
        found = [self._field()]
        while self._peek().text != "}":
            found.append(self._field())
        self._next()
        return found

    def _field(self) -> Field:
        token = self._next()
        if token.kind != "word":
            raise _unexpected("Name", token)
        found = Field(token.text, token.column)
        if self._peek().text == "(":
            values = self._named("(", ")")
            found.arguments = {name: value for name, (value, _) in values.items()}
            found.columns = {name: column for name, (_, column) in values.items()}
        if self._peek().text == "{":
            found.fields = self._selection()
        return found

    def _named(self, opening: str, closing: str) -> dict[str, tuple[Any, int]]:
        self._expect(opening)
        found = {}
        while self._peek().text != closing:
            name = self._next()
            if name.kind != "word":
                raise _unexpected("Name", name)
            self._expect(":")
            found[name.text] = (None, self._peek().column)
            found[name.text] = (self._value(), found[name.text][1])
        self._next()
        return found

    def _value(self) -> Any:
        token = self._peek()
        if token.text == "{":
            return {name: value for name, (value, _) in self._named("{", "}").items()}
        self._next()
        if token.text == "[":
            found = []
            while self._peek().text != "]":
                found.append(self._value())
            self._next()
            return found
        if token.text == "$":
            return Variable(self._next().text)
        return _literal(token)


def _literal(token: Token) -> Any:
    if token.kind == "text":
        return token.text[1:-1].replace('\\"', '"')
    if token.kind == "number":
        return int(token.text)
    if token.kind == "word":
        return {"true": True, "false": False, "null": None}.get(token.text, token.text)
    raise _unexpected("Name", token)


def _tokens(document: str) -> list[Token]:
    found, at = [], 0
    while match := _TOKEN.match(document, at):
        kind = match.lastgroup or ""
        found.append(Token(kind, match[kind], match.start(kind) + 1))
        at = match.end()
    rest = document[at:].strip(", \t\r\n")
    end = Token("end", rest[:1] or _END, at + 1)
    return [*found, end, end]


def _unexpected(wanted: str, token: Token) -> GraphqlError:
    words = f"Expected {wanted}, found {token.text}"
    return GraphqlError(words, token.column, "GRAPHQL_PARSE_FAILED")

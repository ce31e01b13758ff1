"""JSON as Go's decoder reads it into a struct, unknown fields disallowed.

The syntax of the first value is checked as a whole, then the first misfit in the order of the
text is the error. Field names match in any case; `null` leaves a field as it was; a repeated field
counts once more; invalid UTF-8 becomes U+FFFD. Source: Go's encoding/json, recorded answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

_BLANK = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_KEY = "looking for beginning of object key string"
_EXPECTED = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": _KEY,
    "Illegal trailing comma before end of object": _KEY,
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair",
}


class GoError(ValueError):
    """Go refuses to decode a text; the message is Go's."""


class Pairs(list[tuple[str, Any]]):
    """An object as its pairs in order, repeated names too."""


class Float(str):
    """A number with a point or an exponent, as it was written."""

    __slots__ = ()


@dataclass(frozen=True)
class Where:
    """The field being read: name of its struct and path to it."""

    struct: str = ""
    path: str = ""

    def misfit(self, found: str, kind: str) -> GoError:
        """Return the error for a value of the wrong kind."""
        target = f"struct field {self.struct}.{self.path}" if self.path else "value"
        return GoError(f"json: cannot unmarshal {found} into Go {target} of type {kind}")


class Shape(Protocol):
    """What a value must look like."""

    def read(self, value: Any, where: Where) -> Any:
        """Return the value as Go would keep it, or raise `GoError`; never called with None."""


@dataclass(frozen=True)
class Int:
    """A whole number of some bits."""

    bits: int
    name: str

    def read(self, value: Any, where: Where) -> int:
        """Return an integer; refuse a value that overflows or has a decimal point."""
        limit = 1 << (self.bits - 1)
        if type(value) is int and -limit <= value < limit:
            return value
        raise where.misfit(_kind(value, with_number=True), self.name)


@dataclass(frozen=True)
class Real:
    """A floating-point number."""

    def read(self, value: Any, where: Where) -> float:
        """Return any number as a float."""
        if type(value) is int or isinstance(value, Float):
            return float(value)
        raise where.misfit(_kind(value), "float64")


@dataclass(frozen=True)
class Text:
    """A string, perhaps of a named type."""

    name: str = "string"

    def read(self, value: Any, where: Where) -> str:
        """Return a text with its lone surrogates replaced."""
        if type(value) is str:
            return _SURROGATE.sub("\ufffd", value)
        raise where.misfit(_kind(value), self.name)


@dataclass(frozen=True)
class Bool:
    """True or false."""

    def read(self, value: Any, where: Where) -> bool:
        """Return true or false; refuse any other value."""
        if type(value) is bool:
            return value
        raise where.misfit(_kind(value), "bool")


@dataclass(frozen=True)
class Items:
    """A list; `null` among its items stays None."""

    of: Shape
    name: str

    def read(self, value: Any, where: Where) -> list[Any]:
        """Return the list with every item decoded."""
        if type(value) is not list:
            raise where.misfit(_kind(value), self.name)
        return [None if item is None else self.of.read(item, where) for item in value]


@dataclass(frozen=True)
class Dictionary:
    """An object with free names; `null` among its values is the empty value."""

    of: Shape
    name: str
    empty: Any = ""

    def read(self, value: Any, where: Where) -> dict[str, Any]:
        """Return the object with every value decoded, sorted by name as Go prints it."""
        if not isinstance(value, Pairs):
            raise where.misfit(_kind(value), self.name)
        found = {
            _SURROGATE.sub("\ufffd", key): self.empty if item is None else self.of.read(item, where)
            for key, item in value
        }
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Struct:
    """An object with known fields; `embedded` names the inner struct that a field belongs to."""

    name: str
    fields: Mapping[str, Shape]
    full_name: str = ""
    embedded: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {name.lower(): name for name in self.fields}

    def read(self, value: Any, where: Where) -> dict[str, Any]:
        """Return the decoded fields of the object; omit those that are `null`."""
        if not isinstance(value, Pairs):
            raise where.misfit(_kind(value), self.full_name or self.name)
        found: dict[str, Any] = {}
        for key, item in value:
            name = key if key in self.fields else self._folded.get(key.lower())
            if name is None:
                raise GoError(f"json: unknown field {json.dumps(key, ensure_ascii=False)}")
            if item is not None:
                inner = ".".join(filter(None, (where.path, self.embedded.get(name), name)))
                found[name] = self.fields[name].read(item, Where(self.name, inner))
        return found


def decode(body: bytes, shape: Shape) -> Any:
    """Decode the first JSON value of a body; return None for `null`.

    Raises:
        GoError: the body is no JSON, or does not fit.
    """
    value = parse(body.decode("utf-8", "replace"))
    return None if value is None else shape.read(value, Where())


def parse(text: str) -> Any:
    """Read the first JSON value of a text, objects as `Pairs`."""
    begin = _BLANK.match(text)
    start = begin.end() if begin else 0
    if start == len(text):
        raise GoError("EOF")
    try:
        return _DECODER.raw_decode(text, start)[0]
    except json.JSONDecodeError as error:
        raise _syntax(text, error) from error
    except RecursionError as error:
        raise GoError("exceeded max depth") from error


def _syntax(text: str, error: json.JSONDecodeError) -> GoError:
    blank = _BLANK.match(text, error.pos)
    at = blank.end() if blank else error.pos
    if at >= len(text) or error.msg.startswith("Unterminated"):
        return GoError("unexpected EOF")
    letter = "'\\''" if text[at] == "'" else f"'{text[at]}'"
    return GoError(f"invalid character {letter} {_EXPECTED.get(error.msg, 'in string literal')}")


def _constant(name: str) -> None:
    raise GoError(f"invalid character '{name[0]}' looking for beginning of value")


def _kind(value: Any, *, with_number: bool = False) -> str:
    if type(value) is bool:
        return "bool"
    if type(value) is int or isinstance(value, Float):
        return f"number {value}" if with_number else "number"
    if type(value) is str:
        return "string"
    return "object" if isinstance(value, Pairs) else "array"


_DECODER = json.JSONDecoder(
    object_pairs_hook=Pairs, parse_float=Float, parse_constant=_constant, strict=True
)

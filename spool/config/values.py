"""From JSON values to the values of the configuration, one reader for each kind.

A reader takes a value and its place and returns what the program uses, or refuses; it never puts
another value in place of a bad one. No refusal repeats a text of the file: it might be the token.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from ccbackend.errors import UrlError
from ccbackend.token import check_url, parse_token
from spool.errors import ConfigProblem
from spool.escaping import escape

T = TypeVar("T")
S = TypeVar("S")
MAX_SHOWN_CHARACTERS = 80
_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


class RefusedError(Exception):
    """A value that cannot be used: what is wrong, what to do."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the file a value stands, and the list that takes all problems."""

    path: str
    problems: list[ConfigProblem]

    def key(self, name: str) -> Place:
        """Return the place of a member of an object here: `a.b`, `a."^b$"`."""
        shown = name if _PLAIN_KEY.fullmatch(name) else f'"{escape(name, MAX_SHOWN_CHARACTERS)}"'
        return Place(f"{self.path}.{shown}" if self.path else shown, self.problems)

    def item(self, index: int) -> Place:
        """Return the place of an item of a list here: `a[0]`."""
        return Place(f"{self.path}[{index}]", self.problems)

    def refuse(self, problem: str, hint: str) -> None:
        """Note a problem."""
        self.problems.append(ConfigProblem(self.path or "the file", problem, hint))

    def read(self, reader: Reader[T], value: Any, otherwise: S) -> T | S:
        """Return what a reader makes of the value here; `otherwise` when it is refused."""
        try:
            return reader(value, self)
        except RefusedError as error:
            self.refuse(error.problem, error.hint)
            return otherwise


Reader = Callable[[Any, Place], T]


def kind(value: Any) -> str:
    """Name the JSON type of a value."""
    return _KINDS.get(type(value), "null" if value is None else "an object")


def _typed(value: Any, wanted: type[T], hint: str) -> T:
    """Return the value if it has the type; `true` is no number."""
    if isinstance(value, wanted) and not (isinstance(value, bool) and wanted is not bool):
        return value
    raise RefusedError(f"{kind(value)} where {_KINDS[wanted]} belongs", hint)


def truth(value: Any, _place: Place) -> bool:
    """Read true or false."""
    return _typed(value, bool, "write true or false, without quotes")


def line(value: Any, _place: Place) -> str:
    """Read a text that can be shown, perhaps an empty one."""
    found = _typed(value, str, "write it in quotes")
    if not found.isprintable():
        raise RefusedError("holds control characters", "write printable characters")
    return found


def text(value: Any, place: Place) -> str:
    """Read a text that is not empty, can be shown, and has no blanks around it."""
    found = line(value, place)
    if not found:
        raise RefusedError("empty", "write a value or leave the key out")
    if found != found.strip():
        raise RefusedError("begins or ends with a blank", "remove it")
    return found


def flag(value: Any, place: Place) -> str:
    """Read a word of an admin comment, whose words are separated by commas."""
    found = text(value, place)
    if "," in found:
        raise RefusedError("holds a comma", "a comma separates flags; write one flag")
    return found


def absolute_path(value: Any, place: Place) -> Path:
    """Read an absolute path; whether it exists is not looked at."""
    found = Path(text(value, place))
    if not found.is_absolute():
        raise RefusedError("not an absolute path", "write it from / on")
    if ".." in found.parts:
        raise RefusedError("holds ..", "write the path without it")
    return found


def choice(*words: str) -> Reader[str]:
    """Make a reader of one of some words."""
    hint = "write " + " or ".join(f'"{word}"' for word in words)

    def read(value: Any, _place: Place) -> str:
        if _typed(value, str, hint) not in words:
            raise RefusedError("not one of the possible words", hint)
        return str(value)

    return read


def number(low: float, high: float, unit: str) -> Reader[float]:
    """Make a reader of a number with a unit; both limits are allowed."""
    hint = f"write a number from {low:g} to {high:g} {unit}"

    def read(value: Any, _place: Place) -> float:
        found = value if isinstance(value, float) else _typed(value, int, hint)
        if not low <= found <= high:
            raise RefusedError("out of range", hint)
        return float(found)

    return read


def whole(low: int, high: int, unit: str) -> Reader[int]:
    """Make a reader of a whole number with a unit; both limits are allowed."""
    hint = f"write a whole number from {low} to {high} {unit}"

    def read(value: Any, _place: Place) -> int:
        if isinstance(value, float):
            raise RefusedError("not a whole number", hint)
        found = _typed(value, int, hint)
        if not low <= found <= high:
            raise RefusedError("out of range", hint)
        return found

    return read


def base_url(value: Any, place: Place) -> str:
    """Read `scheme://host[:port]`; whether plain http is allowed is judged elsewhere."""
    try:
        return check_url(text(value, place), allow_plain_http=True)
    except UrlError as error:
        raise RefusedError(error.problem, error.hint) from error


def token(value: Any, _place: Place) -> str:
    """Read a token's text."""
    hint = "put the token into a file of its own and name that in cc-backend.token_file"
    try:
        return parse_token(_typed(value, str, hint)).value
    except ValueError as error:
        raise RefusedError(str(error), hint) from None


def pattern(value: Any, _place: Place) -> re.Pattern[str]:
    """Read a regular expression as Python has them."""
    found = _typed(value, str, "write a regular expression in quotes")
    hint = "correct the regular expression (Python's syntax; a backslash is written twice in JSON)"
    with warnings.catch_warnings():
        # `[[:alpha:]]` is a class elsewhere, here it would silently be something else
        warnings.simplefilter("error", FutureWarning)
        try:
            return re.compile(found)
        except re.error as error:
            problem = f"not a pattern: {error.msg} at position {error.pos}"
            raise RefusedError(problem, hint) from None
        except (FutureWarning, OverflowError, RecursionError):
            problem = "a pattern with nested brackets or numbers beyond all bounds"
            raise RefusedError(problem, hint) from None


def host_pattern(value: Any, place: Place) -> re.Pattern[str] | None:
    """Read a regular expression for host names; none of an empty text, which matches nothing."""
    return None if value == "" else pattern(value, place)


def secret_pattern(value: Any, place: Place) -> re.Pattern[str]:
    """Read a regular expression whose matches are masked."""
    found = pattern(value, place)
    if found.search(""):
        raise RefusedError("matches the empty text", "it would mask every place; narrow it")
    return found


def optional(reader: Reader[T]) -> Reader[T | None]:
    """Make a reader that also takes null."""

    def read(value: Any, place: Place) -> T | None:
        return None if value is None else reader(value, place)

    return read


def list_of(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    """Make a reader of a list; every bad item is a problem of its own."""

    def read(value: Any, place: Place) -> tuple[T, ...]:
        items = _typed(value, list, "write [...]")
        found = (place.item(i).read(reader, item, None) for i, item in enumerate(items))
        return tuple(item for item in found if item is not None)

    return read


def set_of(reader: Reader[T]) -> Reader[frozenset[T]]:
    """Make a reader of a list whose order does not matter."""

    def read(value: Any, place: Place) -> frozenset[T]:
        return frozenset(list_of(reader)(value, place))

    return read


def map_of(reader: Reader[T], *, keys: Reader[Any] = line) -> Reader[Mapping[str, T]]:
    """Make a reader of an object with free keys, each of which a reader of texts accepts."""

    def read(value: Any, place: Place) -> Mapping[str, T]:
        found: dict[str, T] = {}
        for name, item in _typed(value, dict, "write {...}").items():
            at = place.key(name)
            at.read(keys, name, None)
            member = at.read(reader, item, None)
            if member is not None:
                found[name] = member
        return MappingProxyType(found)

    return read


def index(value: Any, _place: Place) -> str:
    """Read a device's index, a decimal number as text in its shortest form."""
    if re.fullmatch("0|[1-9][0-9]{0,8}", str(value), re.ASCII) is None:
        raise RefusedError("not an index", 'write a decimal number in quotes, such as "0"')
    return str(value)


def replacements(value: Any, place: Place) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Read an object pattern -> replacement, in the file's order."""
    found: list[tuple[re.Pattern[str], str]] = []
    for source, replacement in map_of(line)(value, place).items():
        at = place.key(source)
        compiled = at.read(pattern, source, None)
        if compiled is None:
            continue
        try:
            compiled.sub(replacement, "")
        except (re.error, IndexError):
            at.refuse(
                "the replacement names a group that the pattern lacks", r"write \\1, \\2, ..."
            )
        found.append((compiled, replacement))
    return tuple(found)

"""Readers that convert JSON values into values of the configuration, one for each kind.

A reader takes a value and its location and returns the program's value, or raises; it never
replaces a bad value by another. No message repeats text of the file, because it might be the token.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from ccbackend.errors import UrlError
from ccbackend.token import check_url, parse_token
from slurm.type_names import Any, TypeVar
from spool.errors import ConfigProblem
from spool.escaping import escape

T = TypeVar("T")
S = TypeVar("S")
MAX_SHOWN_CHARACTERS = 80
_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


class InvalidValueError(Exception):
    """A value that cannot be used, with the problem and a hint."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


class Location:
    """The location of a value in the file, and the list of all problems."""

    __slots__ = ("path", "problems")

    def __init__(self, path: str, problems: list[ConfigProblem]) -> None:
        self.path = path
        self.problems = problems

    def key(self, name: str) -> Location:
        """Return the location of a member of the object here: `a.b`, `a."^b$"`."""
        is_plain = name.isascii() and name.replace("-", "a").replace("_", "a").isalnum()
        shown = name if is_plain else f'"{escape(name, MAX_SHOWN_CHARACTERS)}"'
        return Location(f"{self.path}.{shown}" if self.path else shown, self.problems)

    def item(self, index: int) -> Location:
        """Return the location of an item of the list here: `a[0]`."""
        return Location(f"{self.path}[{index}]", self.problems)

    def add_problem(self, problem: str, hint: str) -> None:
        """Add a problem to the list."""
        self.problems.append(
            ConfigProblem(path=self.path or "the file", problem=problem, hint=hint)
        )

    def read(self, reader: Reader[T], value: Any, fallback: S) -> T | S:
        """Return the converted value; if the reader refuses it, add the problem, use `fallback`."""
        try:
            return reader(value, self)
        except InvalidValueError as error:
            self.add_problem(error.problem, error.hint)
            return fallback


Reader = Callable[[Any, Location], T]


def json_type(value: Any) -> str:
    """Return the name of a value's JSON type."""
    return _KINDS.get(type(value), "null" if value is None else "an object")


def _require_type(value: Any, wanted: type[T], hint: str) -> T:
    """Return the value if it has the type; `true` is not a number."""
    if isinstance(value, wanted) and not (isinstance(value, bool) and wanted is not bool):
        return value
    raise InvalidValueError(f"expected {_KINDS[wanted]}, got {json_type(value)}", hint)


def boolean(value: Any, _location: Location) -> bool:
    """Read true or false."""
    return _require_type(value, bool, "write true or false, without quotes")


def printable(value: Any, _location: Location) -> str:
    """Read a printable text, which may be empty."""
    found = _require_type(value, str, "write it in quotes")
    if not found.isprintable():
        raise InvalidValueError("contains control characters", "write printable characters")
    return found


def text(value: Any, location: Location) -> str:
    """Read a printable text that is not empty and has no blanks around it."""
    found = printable(value, location)
    if not found:
        raise InvalidValueError("empty", "write a value, or remove it if it is optional")
    if found != found.strip():
        raise InvalidValueError("has a space at its beginning or end", "remove it")
    return found


def flag(value: Any, location: Location) -> str:
    """Read one word without commas, which jobs may have in their AdminComment or Comment."""
    found = text(value, location)
    if "," in found:
        raise InvalidValueError("contains a comma", "write one word, without a comma")
    return found


def absolute_path(value: Any, location: Location) -> Path:
    """Read an absolute path; whether it exists is not checked here."""
    found = Path(text(value, location))
    if not found.is_absolute():
        raise InvalidValueError("not an absolute path", "write the path with a leading /")
    if ".." in found.parts:
        raise InvalidValueError("contains ..", "write the path without ..")
    return found


def zero_or(reader: Reader[T]) -> Reader[T | int]:
    """Return a reader that also takes 0, which switches something off."""

    def read(value: Any, location: Location) -> T | int:
        is_zero = isinstance(value, int) and not isinstance(value, bool) and value == 0
        return 0 if is_zero else reader(value, location)

    return read


def choice(*words: str) -> Reader[str]:
    """Return a reader that accepts only one of the given words."""
    hint = "write " + " or ".join(f'"{word}"' for word in words)

    def read(value: Any, _location: Location) -> str:
        if _require_type(value, str, hint) not in words:
            raise InvalidValueError("not one of the possible values", hint)
        return str(value)

    return read


def number(low: float, high: float, unit: str) -> Reader[float]:
    """Return a reader for a number with a unit; both limits are allowed."""
    hint = f"write a number from {low:g} to {high:g} {unit}"

    def read(value: Any, _location: Location) -> float:
        found = value if isinstance(value, float) else _require_type(value, int, hint)
        if not low <= found <= high:
            raise InvalidValueError("out of range", hint)
        return float(found)

    return read


def integer(low: int, high: int, unit: str) -> Reader[int]:
    """Return a reader for an integer with a unit; both limits are allowed."""
    hint = f"write an integer from {low} to {high} {unit}"

    def read(value: Any, _location: Location) -> int:
        if isinstance(value, float):
            raise InvalidValueError("not an integer", hint)
        found = _require_type(value, int, hint)
        if not low <= found <= high:
            raise InvalidValueError("out of range", hint)
        return found

    return read


def base_url(value: Any, location: Location) -> str:
    """Read `scheme://host[:port]`; whether plain http is allowed is checked in `rules`."""
    try:
        return check_url(text(value, location))
    except UrlError as error:
        raise InvalidValueError(error.problem, error.hint) from error


def token(value: Any, _location: Location) -> str:
    """Read a token's text."""
    hint = "write the token to a file of its own and set cc-backend.token_file"
    try:
        return parse_token(_require_type(value, str, hint)).value
    except ValueError as error:
        raise InvalidValueError(str(error), hint) from None


def pattern(value: Any, _location: Location) -> re.Pattern[str]:
    """Read a regular expression in Python's syntax."""
    found = _require_type(value, str, "write a regular expression in quotes")
    hint = "correct the regular expression (Python's syntax; a backslash is written twice in JSON)"
    with warnings.catch_warnings():
        # `[[:alpha:]]` is a POSIX class; Python would silently read it as something else
        warnings.simplefilter("error", FutureWarning)
        try:
            return re.compile(found)
        except re.error as error:
            problem = f"not a regular expression: {error.msg} at position {error.pos}"
            raise InvalidValueError(problem, hint) from None
        except (FutureWarning, OverflowError, RecursionError):
            problem = "a regular expression with too deep nesting or too large a repeat count"
            raise InvalidValueError(problem, hint) from None


def host_pattern(value: Any, location: Location) -> re.Pattern[str] | None:
    """Read a regular expression for host names; return None for "", which matches nothing."""
    return None if value == "" else pattern(value, location)


def secret_pattern(value: Any, location: Location) -> re.Pattern[str]:
    """Read a regular expression whose matches are masked."""
    found = pattern(value, location)
    if found.search(""):
        hint = "write a pattern that matches only the secret"
        raise InvalidValueError("matches the empty string", hint)
    return found


def optional(reader: Reader[T]) -> Reader[T | None]:
    """Return a reader that also accepts null."""

    def read(value: Any, location: Location) -> T | None:
        return None if value is None else reader(value, location)

    return read


def list_of(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    """Return a reader for a list; every bad item is a problem of its own."""

    def read(value: Any, location: Location) -> tuple[T, ...]:
        items = _require_type(value, list, "write [...]")
        found = (location.item(i).read(reader, item, None) for i, item in enumerate(items))
        return tuple(item for item in found if item is not None)

    return read


def set_of(reader: Reader[T]) -> Reader[frozenset[T]]:
    """Return a reader for a list whose order does not matter."""

    def read(value: Any, location: Location) -> frozenset[T]:
        return frozenset(list_of(reader)(value, location))

    return read


def map_of(reader: Reader[T], *, keys: Reader[Any] = printable) -> Reader[Mapping[str, T]]:
    """Return a reader for an object with any keys; `keys` checks them, `reader` reads values."""

    def read(value: Any, location: Location) -> Mapping[str, T]:
        found: dict[str, T] = {}
        for name, item in _require_type(value, dict, "write {...}").items():
            at = location.key(name)
            at.read(keys, name, None)
            member = at.read(reader, item, None)
            if member is not None:
                found[name] = member
        return MappingProxyType(found)

    return read


def device_index(value: Any, _location: Location) -> str:
    """Read a device's index, a decimal number without leading zeros; return it as text."""
    if re.fullmatch("0|[1-9][0-9]{0,8}", str(value), re.ASCII) is None:
        hint = 'write a decimal number in quotes, such as "0"'
        raise InvalidValueError("not a device index", hint)
    return str(value)


def replacements(value: Any, location: Location) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Read an object that maps patterns to replacements, in the file's order."""
    found: list[tuple[re.Pattern[str], str]] = []
    for source, replacement in map_of(printable)(value, location).items():
        at = location.key(source)
        compiled = at.read(pattern, source, None)
        if compiled is None:
            continue
        try:
            compiled.sub(replacement, "")
        except (re.error, IndexError):
            at.add_problem(
                "the replacement uses a group that the pattern does not have",
                r"write \\1 for the pattern's first group",
            )
        found.append((compiled, replacement))
    return tuple(found)

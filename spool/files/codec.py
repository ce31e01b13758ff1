"""Run files as JSON: version 1, readable with `jq`, strict when read.

    {"version": 1, "job": {"job_id": int, "nodes": [...], "allocations": [...], ...},
     "start_time": int, "end": {"time": int, "state": str, "source": str} | null, ...}

A value that is None or a default is omitted. Unknown keys are an error: they would be lost at the
next rewrite. Version N reads N-1 and does not touch N+1.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any

from spool.errors import BadFileError, NewerFormatError
from spool.files.run import Run, parse_run_name

VERSION = 1
_PLAIN_TYPES = frozenset({int, str, bool, types.NoneType})
LIMIT_BYTES = 128 * 1024 * 1024  # 65536 nodes with all of 256 cores make about 70 MB


def encode(run: Run) -> bytes:
    """Return the bytes of a run file."""
    document = {"version": VERSION, **_to_json(run)}
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def decode(name: str, contents: bytes) -> Run:
    """Return the run that a file holds.

    Raises:
        NewerFormatError: written by a later version of this program.
        BadFileError: not a run file, or one whose contents belong to another name.
    """
    run = decode_line(name, contents)
    if parse_run_name(name) != (run.job_id, run.start_time):
        reason = f"its name does not match its contents (job {run.job_id}, start {run.start_time})"
        raise BadFileError(name, reason)
    return run


def decode_line(name: str, contents: bytes) -> Run:
    """Return the run in a line of the delivered archive; `name` is only for the error.

    Raises:
        NewerFormatError: written by a later version of this program.
        BadFileError: not a run.
    """
    try:
        document = json.loads(contents)
    except (ValueError, RecursionError) as error:
        raise BadFileError(name, f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadFileError(name, "not a JSON object")
    version = document.pop("version", None)
    if isinstance(version, int) and version > VERSION:
        raise NewerFormatError(name, version)
    if version != VERSION:
        raise BadFileError(name, f"unknown version {version!r}")
    try:
        run: Run = _from_json(Run, document, "run")
    except (TypeError, ValueError) as error:
        raise BadFileError(name, str(error)) from error
    return run


def _to_json(value: Any) -> Any:
    """Return a frozen value as JSON data, without None and defaults."""
    kind: type = type(value)
    if kind is tuple:
        return [_to_json(item) for item in value] if _holds_dataclasses(value) else list(value)
    if fields := _fields(kind):
        return {
            name: item if type(item) in _PLAIN_TYPES else _to_json(item)
            for (name, default), item in zip(fields, _getter(kind)(value), strict=True)
            if item is not default and item != default
        }
    return value


def _holds_dataclasses(items: tuple[Any, ...]) -> bool:
    first: type = type(items[0]) if items else tuple
    return bool(_fields(first))


def _from_json(expected: Any, value: Any, path: str) -> Any:
    """Return JSON data as the value a type hint asks for.

    Raises:
        TypeError, ValueError: a value has a wrong type; the message has its path.
    """
    origin, args = _shape(expected)
    if origin in {types.UnionType, typing.Union}:
        return None if value is None else _from_json(args[0], value, path)
    if origin is tuple:
        if not isinstance(value, list):
            raise TypeError(f"{path}: expected a list, got {type(value).__name__}")
        item = args[0]
        if {type(part) for part in value} <= {item}:  # ids and names: most of a run on many nodes
            return tuple(value)
        return tuple(_from_json(item, part, f"{path}[{i}]") for i, part in enumerate(value))
    if dataclasses.is_dataclass(expected):
        return _dataclass_from_json(typing.cast("type", expected), value, path)
    if issubclass(expected, Enum):
        return expected(value)
    if type(value) is not expected:  # a bool is not an int here
        raise TypeError(f"{path}: expected {expected.__name__}, got {type(value).__name__}")
    return value


def _dataclass_from_json(expected: type, value: Any, path: str) -> Any:
    """Return a JSON object as a frozen value."""
    if not isinstance(value, dict):
        raise TypeError(f"{path}: expected an object, got {type(value).__name__}")
    hints, plain_types = _hints(expected), _plain_types(expected)
    if unknown := value.keys() - hints.keys():
        raise ValueError(f"{path}: unknown keys {', '.join(sorted(unknown))}")
    fields = {
        key: item
        if type(item) is plain_types[key]
        else _from_json(hints[key], item, f"{path}.{key}")
        for key, item in value.items()
    }
    return expected(**fields)


@cache
def _shape(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return what a type hint is made of: `tuple` and its items, say."""
    return typing.get_origin(hint), typing.get_args(hint)


@cache
def _fields(record: type) -> tuple[tuple[str, Any], ...]:
    """Return names and defaults of a dataclass's fields; nothing for another type."""
    if not dataclasses.is_dataclass(record):
        return ()
    return tuple((field.name, field.default) for field in dataclasses.fields(record))


@cache
def _getter(record: type) -> Callable[[Any], tuple[Any, ...]]:
    """Return what reads all fields of a dataclass of two or more fields at once."""
    return attrgetter(*(name for name, _ in _fields(record)))


@cache
def _plain_types(expected: type) -> dict[str, type | None]:
    """Return for each field the type of values that need no conversion; None: all need one."""
    kinds = {name: typing.get_args(hint) or (hint,) for name, hint in _hints(expected).items()}
    return {
        name: args[0] if args[0] in _PLAIN_TYPES and _is_plain_or_optional(args) else None
        for name, args in kinds.items()
    }


def _is_plain_or_optional(args: tuple[Any, ...]) -> bool:
    """Return whether the arguments of a hint are those of `T` or `T | None`."""
    return args[1:] in {(), (types.NoneType,)}


@cache
def _hints(expected: type) -> dict[str, Any]:
    """Return the resolved type hints of a dataclass."""
    return typing.get_type_hints(expected)

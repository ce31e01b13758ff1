"""Run files as JSON: version 1, readable with `jq`, strict when read.

    {"version": 1, "job": {"job_id": int, "nodes": [...], "allocations": [...], ...},
     "start_time": int, "end": {"time": int, "state": str, "source": str} | null, ...}

A value that is None or a default is omitted. Unknown keys are an error: they would be lost at the
next rewrite. Version N reads N-1 and does not touch N+1.
"""

from __future__ import annotations

import builtins
import dataclasses
import json
import sys
from enum import Enum
from functools import cache

from slurm.light_dataclass import getter, light_dataclass
from slurm.type_names import Any
from spool.errors import BadFileError, NewerFormatError
from spool.files.layout import Directory, Layout
from spool.files.run import Run, parse_run_name

VERSION = 1
_PLAIN_TYPES = frozenset({int, str, bool})
_COPIED_TYPES = _PLAIN_TYPES | {type(None)}
LIMIT_BYTES = 128 * 1024 * 1024  # 65536 nodes with all of 256 cores make about 70 MB


@light_dataclass
class _Shape:
    """A parsed type hint: a type, whether it is a list of that type, whether None is allowed."""

    kind: type
    is_list: bool
    is_optional: bool

    @property
    def plain_type(self) -> type | None:
        """The type, if its values are stored in JSON unchanged (int, str, bool); else None."""
        return self.kind if self.kind in _PLAIN_TYPES and not self.is_list else None


def load_run(layout: Layout, directory: Directory, name: str) -> Run:
    """Read one run.

    Raises:
        FileNotFoundError: it vanished.
        BadFileError: it is not a valid run.
        NewerFormatError: a later version wrote it.
        OSError: it cannot be read.
    """
    found = layout.read(directory, name, LIMIT_BYTES)
    if found.contents is None:
        reason = f"it has {found.size_bytes} bytes, more than the limit of {LIMIT_BYTES}"
        raise BadFileError(name, reason)
    return decode(name, found.contents)


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
        run: Run = _dataclass_from_json(Run, document, "run")
    except (TypeError, ValueError) as error:
        raise BadFileError(name, str(error)) from error
    return run


def _to_json(value: Any) -> Any:
    """Convert a dataclass, a tuple or a plain value to JSON data; omit fields with defaults."""
    kind: type = type(value)
    if kind is tuple:
        return [_to_json(item) for item in value] if _holds_dataclasses(value) else list(value)
    if fields := _fields(kind):
        return {
            name: item if type(item) in _COPIED_TYPES else _to_json(item)
            for (name, default), item in zip(fields, getter(kind)(value), strict=True)
            if item is not default and item != default
        }
    return value


def _holds_dataclasses(items: tuple[Any, ...]) -> bool:
    first: type = type(items[0]) if items else tuple
    return bool(_fields(first))


def _from_json(expected: _Shape, value: Any, path: str) -> Any:
    """Convert JSON data to a value of the type that a type hint demands.

    Raises:
        TypeError, ValueError: a value has a wrong type; the message has its path.
    """
    if value is None and expected.is_optional:
        return None
    kind = expected.kind
    if not expected.is_list:
        return _item_from_json(kind, value, path)
    if not isinstance(value, list):
        raise TypeError(f"{path}: expected a list, got {type(value).__name__}")
    if {type(part) for part in value} <= {kind}:  # ids and names: most of a run on many nodes
        return tuple(value)
    return tuple(_item_from_json(kind, part, f"{path}[{i}]") for i, part in enumerate(value))


def _item_from_json(kind: Any, value: Any, path: str) -> Any:
    """Convert JSON data to a value of a type: a dataclass, an enum or a plain type."""
    if dataclasses.is_dataclass(kind):
        return _dataclass_from_json(kind, value, path)
    if issubclass(kind, Enum):
        return kind(value)
    if type(value) is not kind:  # a bool is not an int here
        raise TypeError(f"{path}: expected {kind.__name__}, got {type(value).__name__}")
    return value


def _dataclass_from_json(kind: Any, value: Any, path: str) -> Any:
    """Convert a JSON object to a dataclass."""
    if not isinstance(value, dict):
        raise TypeError(f"{path}: expected an object, got {type(value).__name__}")
    shapes, plain_types = _shapes(kind), _plain_types(kind)
    if unknown := value.keys() - shapes.keys():
        raise ValueError(f"{path}: unknown keys {', '.join(sorted(unknown))}")
    fields = {
        key: item
        if type(item) is plain_types[key]
        else _from_json(shapes[key], item, f"{path}.{key}")
        for key, item in value.items()
    }
    return kind(**fields)


@cache
def _fields(record: type) -> tuple[tuple[str, Any], ...]:
    """Return names and defaults of a dataclass's fields; an empty tuple for another type."""
    if not dataclasses.is_dataclass(record):
        return ()
    return tuple((field.name, field.default) for field in dataclasses.fields(record))


@cache
def _plain_types(record: type) -> dict[str, type | None]:
    """Return for each field the type of values that need no conversion; None: all need one."""
    return {name: shape.plain_type for name, shape in _shapes(record).items()}


@cache
def _shapes(record: Any) -> dict[str, _Shape]:
    """Return the parsed type hint of each field of a dataclass, by name."""
    names = vars(builtins) | vars(sys.modules[record.__module__])
    return {field.name: _shape(field.type, names) for field in dataclasses.fields(record)}


def _shape(hint: Any, names: dict[str, Any]) -> _Shape:
    """Parse a type hint: `T`, `tuple[T, ...]`, or either with `| None`.

    `typing.get_type_hints` parses more, but `typing` takes 2 ms to load, and each hint is compiled.
    """
    text = hint.removesuffix(" | None")
    item = text.removeprefix("tuple[").removesuffix(", ...]")
    return _Shape(kind=names[item], is_list=item != text, is_optional=text != hint)

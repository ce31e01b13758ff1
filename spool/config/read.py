"""Read the configuration file and all of its keys, and collect all problems.

A refused value is replaced by its default so that the rest can still be checked; a configuration
with problems never leaves this package. JSON has no comments: a key that begins with `_` or `#` is
a comment, in every object of the file.
"""

from __future__ import annotations

import json
import os
import stat
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path

from slurm.light_dataclass import light_dataclass
from slurm.type_names import Any, TypeVar
from spool.config.readers import Location, json_type
from spool.config.schema import Config
from spool.errors import ConfigError, ConfigProblem

C = TypeVar("C")
MAX_CONFIG_BYTES = 4 * 1024 * 1024
COMMENT_PREFIXES = ("_", "#")
_ADAPTER_KEYS = {"ccRestUrl": "cc-backend.host", "ccRestJwt": "cc-backend.token_file"}


@light_dataclass
class Document:
    """The JSON object in a configuration file, and the file's mode."""

    values: dict[str, Any]
    mode: int


class _Object(dict[str, Any]):
    """A JSON object of the configuration, without comments; `duplicates` are its repeated keys."""

    duplicates: tuple[str, ...] = ()


def file_stamp(path: Path) -> tuple[int, int] | None:
    """Return mtime (ns) and inode, one of which changes when a file is edited or replaced.

    None: it cannot be examined.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def read_document(path: Path) -> Document:
    """Read a configuration file; return its JSON object and mode.

    Raises:
        ConfigError: it cannot be read, or is not a JSON object.
    """
    try:
        raw, mode = _read_regular_file(path)
        values = json.loads(
            raw.removeprefix(BOM_UTF8).decode(),
            object_pairs_hook=_object,
            parse_constant=_reject_constant,
        )
    except OSError as error:
        problem, is_denied = f"cannot be read: {error.strerror}", isinstance(error, PermissionError)
        hint = "check the file's path and permissions"
        raise _unreadable(path, problem, hint, is_denied=is_denied) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"not UTF-8 at byte {error.start}", "save it as UTF-8") from None
    except json.JSONDecodeError as error:
        location = f"line {error.lineno} column {error.colno}"
        raise _unreadable(path, f"not JSON at {location}: {error.msg}", "correct it") from None
    except (ValueError, RecursionError):
        problem = "a number is too long or the nesting too deep"
        raise _unreadable(path, problem, "correct it") from None
    if not isinstance(values, dict):
        raise _unreadable(path, f"expected an object, got {json_type(values)}", "write {...}")
    return Document(values=values, mode=mode)


def read_config(document: Document, problems: list[ConfigProblem]) -> Config:
    """Return the configuration from the document's keys; append all problems found."""
    root = Location("", problems)
    _report_duplicates(document.values, root)
    return _section(Config, document.values, root)


def keys_of(section: type[Any], prefix: str = "") -> Iterator[tuple[str, Field[Any]]]:
    """Yield the dotted name and field of every key and section, in the order of the schema."""
    for field in fields(section):
        if field.metadata:
            name = prefix + (field.metadata["name"] or field.name)
            yield name, field
            if "section" in field.metadata:
                yield from keys_of(field.metadata["section"], f"{name}.")


def closest_key(unknown: str, known: Iterable[str]) -> str:
    """Return the known key that was most likely meant: of the same section or a similar name."""
    from difflib import get_close_matches  # noqa: PLC0415 - 4 ms, needed only after a mistake

    parent, _, name = unknown.rpartition(".")
    if name in _ADAPTER_KEYS:
        return _ADAPTER_KEYS[name]
    lowered = {key.lower(): key for key in known}
    beside = [key for key in lowered if key.rpartition(".")[0] == parent.lower()]
    plain = name.lower().replace("_", "")
    same_name = [key for key in lowered if key.rpartition(".")[2].replace("_", "") == plain]
    found = (
        get_close_matches(unknown.lower(), beside, 1, 0.75)
        or same_name
        or get_close_matches(unknown.lower(), list(lowered), 1, 0.0)
    )
    return lowered[found[0]]


def _section(of: type[C], value: Any, location: Location) -> C:
    if not isinstance(value, dict):
        location.add_problem(
            f"expected an object, got {json_type(value)}", "write the section's keys in {...}"
        )
        # a location of its own: the missing keys are not reported
        return _section(of, {}, Location(location.path, []))
    known = {field.metadata["name"] or field.name: field for field in _keys(of)}
    for name in value:
        if name not in known:
            at = location.key(name)
            meant = closest_key(at.path, (key for key, _ in keys_of(Config)))
            at.add_problem("unknown key", f"did you mean {meant}?")
    found = {
        field.name: _value(field, value.get(name, MISSING), location.key(name))
        for name, field in known.items()
    }
    return of(**found)


def _keys(of: type[Any]) -> Iterator[Field[Any]]:
    return (field for field in fields(of) if field.metadata)


def _value(field: Field[Any], value: Any, location: Location) -> Any:
    """Read a key; use its default if it is missing or refused."""
    section = field.metadata.get("section")
    if section is not None:
        return _section(section, {} if value is MISSING else value, location)
    default = _python_default(field)
    if value is not MISSING:
        return location.read(field.metadata["reader"], value, "" if default is MISSING else default)
    if default is MISSING:
        location.add_problem("missing", "add this key: it has no default")
        return ""
    return default


def _python_default(field: Field[Any]) -> Any:
    """Return the default of a field, MISSING if it has none."""
    factory = field.default_factory
    return field.default if factory is MISSING else factory()


def _read_regular_file(path: Path) -> tuple[bytes, int]:
    """Return the contents of a regular file (links are followed) and its mode."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file")
        if status.st_size > MAX_CONFIG_BYTES:
            raise OSError(0, f"more than {MAX_CONFIG_BYTES} bytes")
        with open(fd, "rb", closefd=False) as file:
            return file.read(MAX_CONFIG_BYTES), status.st_mode
    finally:
        os.close(fd)


def _unreadable(path: Path, problem: str, hint: str, *, is_denied: bool = False) -> ConfigError:
    return ConfigError(
        str(path),
        (ConfigProblem(path="the file", problem=problem, hint=hint, is_denied=is_denied),),
    )


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    """Return an object without the comment keys, which may occur several times."""
    keys = [pair for pair in pairs if not pair[0].startswith(COMMENT_PREFIXES)]
    found = _Object(keys)
    if len(found) < len(keys):
        times = Counter(name for name, _ in keys)
        found.duplicates = tuple(sorted(name for name, count in times.items() if count > 1))
    return found


def _reject_constant(_word: str) -> Any:
    raise ValueError


def _report_duplicates(value: Any, location: Location) -> None:
    """Report every key that occurs twice in its object: JSON would silently use the last one."""
    waiting = [(value, location)]  # no recursion: the nesting of the file may be deep
    while waiting:
        current, at = waiting.pop()
        if isinstance(current, _Object):
            for name in current.duplicates:
                at.key(name).add_problem("occurs twice", "remove one of them")
            waiting += [(member, at.key(name)) for name, member in current.items()]
        elif isinstance(current, list):
            waiting += [(item, at.item(position)) for position, item in enumerate(current)]

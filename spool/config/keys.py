"""Make the fields of the schema: a field is a key of the configuration, or a section with keys.

A key has a reader, a default unless it must be in the file, and its meaning (`about`), from which
the table in docs/configuration.md and the manual page are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, field

from slurm.type_names import Any
from spool.config.readers import Reader

DAY_SECONDS = 86400


def key(
    reader: Reader[Any],
    default: Any = MISSING,
    *,
    about: str,
    name: str | None = None,
    factory: Callable[[], Any] | None = None,
    shown: bool = True,
) -> Any:
    """Return a field that is a key; without default it must be in the file."""
    metadata = {"reader": reader, "name": name, "about": about}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata, repr=shown)
    return field(default=default, metadata=metadata, repr=shown)


def section(
    of: type[Any], *, name: str | None = None, about: str = "", required: bool = False
) -> Any:
    """Return a field for an object with keys; `about` replaces `{}` in the meanings of its keys."""
    metadata = {"section": of, "name": name, "about": about}
    if required:
        return field(metadata=metadata)
    return field(default_factory=of, metadata=metadata)

"""Every key of the configuration with its default, as written in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any

from spool.config.read import keys_of
from spool.config.schema import Config

REQUIRED = "required"
"""The value for a key without a default; no key has this word as its default."""

EMPTY_MAPS = ("host_map",)
"""Keys whose value is a map; the configuration keeps them as pairs, with the type of a list."""


def known_keys() -> dict[str, Any]:
    """Return every key with its default as a JSON value, or `REQUIRED`."""
    return {
        name: {} if name in EMPTY_MAPS else _json_default(field)
        for name, field in keys_of(Config)
        if "reader" in field.metadata
    }


def _json_default(field: Field[Any]) -> Any:
    """Return the default of a key as written in the file."""
    factory = field.default_factory
    value: Any = field.default if factory is MISSING else factory()
    if value is MISSING:
        return REQUIRED
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, frozenset | tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value

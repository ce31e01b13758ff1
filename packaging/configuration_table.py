"""Write the table of all keys into docs/configuration.md, from the schema.

configuration_table.py PAGE     replaces the lines between the two marks
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any, NamedTuple

from spool.config.read import keys_of
from spool.config.schema import Config

BEGIN = "<!-- begin: written by `make configuration` from spool/config -->"
END = "<!-- end -->"
MAPS = frozenset({"host_map"})  # kept as pairs, which no type tells from a list


class Row(NamedTuple):
    """A key with its default as JSON (or `required`) and its meaning as Markdown."""

    key: str
    default: str
    meaning: str


def rows() -> Iterator[Row]:
    """Yield a row for each key, in the order of the schema."""
    about = {"": ""}
    for name, field in keys_of(Config):
        parent = name.rpartition(".")[0]
        meaning = field.metadata["about"].replace("{}", about[parent])
        about[name] = meaning
        if "section" not in field.metadata:
            yield Row(name, _default(name, field), meaning)


def _default(name: str, field: Field[Any]) -> str:
    value: Any = field.default if field.default_factory is MISSING else field.default_factory()
    if value is MISSING:
        return "required"
    if name in MAPS:
        value = dict(value)
    elif isinstance(value, Path):
        value = str(value)
    elif isinstance(value, frozenset | tuple):
        value = list(value)
    elif isinstance(value, Mapping):
        value = dict(value)
    return json.dumps(value)


def table() -> str:
    """Return the table as Markdown."""
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for key, default, meaning in rows():
        shown = default if default == "required" else f"`{default}`"
        lines.append(f"| `{key}` | {shown} | {meaning} |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """Return a page with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


def main(page: str) -> None:
    """Replace the table in the page."""
    path = Path(page)
    path.write_text(with_table(path.read_text()))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The example, the documentation and the code have the same keys and defaults."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from config_keys import REQUIRED, known_keys

from spool.config import load

ROOT = Path(__file__).parent.parent


def test_example_table_and_code_have_the_same_keys() -> None:
    """config.json.example, docs/configuration.md and the code have the same keys."""
    keys = set(known_keys())

    assert keys == set(_example())
    assert keys == set(_table())


def test_the_table_has_the_defaults_of_the_code() -> None:
    """The table of docs/configuration.md has each key with its default."""
    code = {
        key: "required" if value is REQUIRED else json.dumps(value)
        for key, value in known_keys().items()
    }

    assert code == _table()


def test_the_example_has_the_defaults_of_the_code() -> None:
    """Only required keys and two maps that show their format differ in config.json.example."""
    shown = {"accelerators", "gpuPciAddrs"}
    example = _example()

    different = {
        key
        for key, value in known_keys().items()
        if value is not REQUIRED and value != example[key]
    }

    assert shown == different


def test_the_example_shows_comments() -> None:
    """config.json.example has comments at its beginning, in sections and in maps."""
    text = (ROOT / "config.json.example").read_text()

    assert text.startswith('{\n    "_": "')
    assert 5 < len(re.findall(r'^ +"[_#]', text, re.MULTILINE))


def test_the_example_is_free_of_problems_and_warnings() -> None:
    """An administrator can copy it and then set the cluster name and the host."""
    assert () == load(ROOT / "config.json.example").warnings


def _example() -> dict[str, Any]:
    """Return the keys of the example, dotted as in the table."""
    maps = {"accelerators", "gpuPciAddrs", "host_map", "partition_clusters"}
    waiting = list(json.loads((ROOT / "config.json.example").read_text()).items())
    found: dict[str, Any] = {}
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict) and name not in maps:
            waiting += [(f"{name}.{key}", member) for key, member in value.items()]
        elif not name.rpartition(".")[2].startswith(("_", "#")):
            found[name] = value
    return found


def _table() -> dict[str, str]:
    """Return the keys and defaults of the table in docs/configuration.md."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| `?([^|`]+)`? \| [^|]+ \|$", page, re.MULTILINE)
    assert len(dict(rows)) == len(rows)
    return dict(rows)

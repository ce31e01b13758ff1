"""The smallest configuration with some keys changed, and the problems that loading it reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spool.config import Config, load
from spool.errors import ConfigError

TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJzdmMifQ.c2lnbmF0dXJl"
SMALL: dict[str, Any] = {"clustername": "lab", "cc-backend": {"host": "https://cc.example.org"}}


def written(directory: Path, contents: object, mode: int = 0o640) -> Path:
    """Write a configuration: text or bytes unchanged, anything else as JSON."""
    path = directory / "config.json"
    if isinstance(contents, str):
        contents = contents.encode()
    raw = contents if isinstance(contents, bytes) else json.dumps(contents).encode()
    path.write_bytes(raw)
    path.chmod(mode)
    return path


def loaded(directory: Path, **changes: Any) -> Config:
    """Load the smallest configuration with some keys changed; `cc_backend` means `cc-backend`."""
    changes = {name.replace("cc_", "cc-"): value for name, value in changes.items()}
    return load(written(directory, SMALL | changes))


def refusals(path: Path) -> dict[str, str]:
    """Return all problems of a configuration file by key."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    return {each.path: f"{each.problem}; {each.hint}" for each in caught.value.problems}


def refusal(directory: Path, **changes: Any) -> dict[str, str]:
    """Return all problems of the smallest configuration with some keys changed."""
    changes = {name.replace("cc_", "cc-"): value for name, value in changes.items()}
    return refusals(written(directory, SMALL | changes))

"""A configuration whose directories and files all exist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spool.config import Config, load
from spool.config.paths import check_paths

TOPOLOGY = {
    "name": "lab",
    "metricConfig": [],
    "subClusters": [{"name": "cpu", "nodes": "n[1-4]", "topology": {"socket": [], "core": []}}],
}


def site(directory: Path, **changes: Any) -> dict[str, Any]:
    """Make all files that a configuration names; return it, with `cc_backend` merged in."""
    (directory / "state").mkdir(exist_ok=True)
    for name in ("new", "todo", "open", "dead", "tmp"):
        (directory / "spool" / name).mkdir(parents=True, exist_ok=True)
    token = directory / "token"
    token.write_text("abc\n")
    token.chmod(0o640)
    backend = {"host": "https://cc.example.org", "token_file": str(token)}
    backend |= changes.pop("cc_backend", {})
    places = {"directory": f"{directory}/spool", "state_directory": f"{directory}/state"}
    return {"clustername": "lab", "cc-backend": backend, "spool": places} | changes


def written(directory: Path, document: object) -> Path:
    """Write a configuration file and return its path."""
    path = directory / "config.json"
    path.write_text(json.dumps(document))
    path.chmod(0o640)
    return path


def config_of(directory: Path, **changes: Any) -> Config:
    """Return the configuration of a site whose directories and files all exist."""
    return load(written(directory, site(directory, **changes)))


def problems(config: Config, **arguments: Any) -> list[str]:
    """Return the problems of the paths that a configuration names."""
    found, _ = check_paths(config, temporary=(), **arguments)
    return [f"{each.path}: {each.problem}" for each in found]

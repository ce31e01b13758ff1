"""The configuration: one JSON file, whose problems are all reported together.

`load` checks only the file. `load_checked` also checks the files and directories that it names, and
reports the problems of both together. Neither contacts Slurm or cc-backend.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from spool.config.paths import TEMPORARY_DIRECTORIES, check_paths, token_source
from spool.config.read import Document, file_stamp, read_config, read_document
from spool.config.rules import conflicts_of, warnings_of
from spool.config.schema import Config
from spool.errors import ConfigError, ConfigProblem
from spool.installation import SETTINGS

__all__ = [
    "DEFAULT_PATH",
    "TEMPORARY_DIRECTORIES",
    "Config",
    "file_stamp",
    "load",
    "load_checked",
    "token_source",
]

DEFAULT_PATH = SETTINGS / "config.json"


def load(path: Path) -> Config:
    """Read the configuration without checking that the files it names exist.

    Raises:
        ConfigError: all problems of the file.
    """
    problems: list[ConfigProblem] = []
    config = _read(path, problems)
    if problems:
        raise ConfigError(str(path), tuple(problems))
    return config


def load_checked(
    path: Path,
    *,
    credentials: Path | None = None,
    temporary: Iterable[Path] = TEMPORARY_DIRECTORIES,
) -> Config:
    """Read the configuration and check the files and directories it names.

    Args:
        path: of the file.
        credentials: systemd's directory of credentials; a file `token` there is the token.
        temporary: places that are refused for the spool, unless the configuration is there, too.

    Raises:
        ConfigError: all problems of the file and of what it names.
    """
    problems: list[ConfigProblem] = []
    config = _read(path, problems)
    refused = {problem.path for problem in problems}
    found, warnings = check_paths(config, credentials=credentials, temporary=temporary)
    problems += (problem for problem in found if problem.path not in refused)
    if problems:
        raise ConfigError(str(path), tuple(problems))
    return replace(config, warnings=config.warnings + warnings)


def _read(path: Path, problems: list[ConfigProblem]) -> Config:
    """Return the configuration; it must not be used if problems were appended."""
    stamp = file_stamp(path)  # first: an edit while the file is read must be seen as a change
    document = read_document(path)
    config = _with_one_token(read_config(document, problems), document)
    refused = {problem.path for problem in problems}
    problems += (
        problem
        for problem in conflicts_of(config, document)
        if problem.path not in refused or not problem.path.startswith("spool.")
    )
    warnings = () if problems else tuple(warnings_of(config))
    return replace(config, path=path, stamp=stamp, warnings=warnings)


def _with_one_token(config: Config, document: Document) -> Config:
    """Return the configuration with `token_file` None if the file sets only `apikey`."""
    section = document.values.get("cc-backend")
    keys = section if isinstance(section, dict) else {}
    if keys.get("apikey") is None or "token_file" in keys:
        return config
    return replace(config, cc_backend=replace(config.cc_backend, token_file=None))

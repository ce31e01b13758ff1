"""Check that the files and directories named by the configuration exist and are safe.

The spool needs atomic renames and files that survive a reboot: a local file system, no temporary
place (the service has a /tmp of its own), and not slurmctld's directory. Nothing is created or
changed here.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from ccbackend.errors import TokenError
from ccbackend.token import read_token
from slurm.light_dataclass import light_dataclass
from slurm.type_names import TYPE_CHECKING
from spool.config.metrics_readers import textfile_warnings
from spool.config.nats_rules import nats_file_problems
from spool.config.schema import Config
from spool.errors import ConfigProblem
from spool.files.layout import Directory

if TYPE_CHECKING:
    from ccbackend.topology import Cluster

TEMPORARY_DIRECTORIES = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - refused as a spool
MOUNTS = Path("/proc/self/mountinfo")
_MAX_TOPOLOGY_BYTES = 64 * 1024 * 1024
_REMOTE = frozenset(
    [
        *("nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "ceph", "glusterfs"),
        *("panfs", "wekafs", "pvfs2", "afs", "sshfs"),
    ]
)
_OCTAL = r"\\([0-7]{3})"


@light_dataclass
class _DirectoryCheck:
    """One directory: its key, its path and what the checks found."""

    key: str
    path: Path
    problems: list[ConfigProblem]
    warnings: list[str]

    def add_problem(self, problem: str, hint: str, *, is_denied: bool = False) -> None:
        self.problems.append(
            ConfigProblem(path=self.key, problem=problem, hint=hint, is_denied=is_denied)
        )


def check_paths(
    config: Config,
    *,
    credentials: Path | None = None,
    temporary: Iterable[Path] = TEMPORARY_DIRECTORIES,
    mounts: Path = MOUNTS,
) -> tuple[tuple[ConfigProblem, ...], tuple[str, ...]]:
    """Return the problems and warnings of all files and directories in the configuration."""
    problems: list[ConfigProblem] = []
    warnings: list[str] = []
    refused = tuple(temporary)
    for key, path in (
        ("spool.directory", config.spool.directory),
        ("spool.state_directory", config.spool.state_directory),
    ):
        check = _DirectoryCheck(key=key, path=path, problems=problems, warnings=warnings)
        _check_temporary(check, refused, config.path)
        _check_outside_slurm_state(check, config.slurm.state_save_location)
        if _is_directory(check):
            _check_file_system(check, mounts)
            if key == "spool.directory":
                _check_subdirectories(check)
    problems += _token_problems(config, credentials)
    problems += _named_file_problems(config)
    problems += nats_file_problems(config.nats)
    warnings += textfile_warnings(config.metrics.textfile)
    return tuple(problems), tuple(warnings)


def token_source(config: Config, *, credentials: Path | None = None) -> Path | None:
    """Return the file that holds the token; None: it is `cc-backend.apikey`."""
    if credentials is not None and (credentials / "token").exists():
        return credentials / "token"
    return config.cc_backend.token_file


def read_topology(path: Path) -> tuple[Cluster, ...]:
    """Read a cluster.json of the server, or an answer of its `/api/clusters/`.

    Raises:
        OSError: it cannot be read.
        ValueError: it has another shape.
    """
    from ccbackend.topology import clusters_of_json  # noqa: PLC0415 - few sites name such files

    if path.stat().st_size > _MAX_TOPOLOGY_BYTES:
        raise ValueError(f"more than {_MAX_TOPOLOGY_BYTES} bytes")
    document = json.loads(path.read_bytes())
    if isinstance(document, dict) and "subClusters" in document:
        document = {"clusters": [document]}
    return clusters_of_json(document)


def file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """Return the type of a path's file system (proc(5), mountinfo); None: not known."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    above = frozenset(map(str, _with_parents(path)))
    best: tuple[int, str | None] = (0, None)
    for line in lines:
        left, _, right = line.partition(" - ")
        point = left.split()[4]
        if "\\" in point:
            point = re.sub(_OCTAL, lambda found: chr(int(found[1], 8)), point)
        if point in above and len(point) >= best[0]:
            best = (len(point), right.split()[0])  # a later mount hides an earlier one
    return best[1]


def _check_temporary(check: _DirectoryCheck, temporary: tuple[Path, ...], config: Path) -> None:
    """Refuse a temporary place: the service has a /tmp of its own, not that of the hooks.

    If the configuration is there, too, this is a trial, which only gets a warning.
    """
    above = _with_parents(check.path)
    for place in temporary:
        if place not in above:
            continue
        if place in _with_parents(config):
            check.warnings.append(
                f"{check.key}: the path is in {place}; use such a path only for a trial"
            )
        else:
            hint = "choose a permanent directory, such as the default"
            check.add_problem(f"is in {place}, which is temporary", hint)


def _check_outside_slurm_state(check: _DirectoryCheck, slurm_state: Path | None) -> None:
    if slurm_state is not None and Path(os.path.realpath(slurm_state)) in _with_parents(check.path):
        hint = "only slurmctld may write there; choose another directory"
        check.add_problem("is inside slurm.state_save_location", hint)


def _with_parents(path: Path) -> tuple[Path, ...]:
    """Return the real path and all directories above it."""
    real = Path(os.path.realpath(path))  # unlike resolve() it accepts a loop of links
    return (real, *real.parents)


def _is_directory(check: _DirectoryCheck) -> bool:
    """Return whether the directory exists; add a problem if not, or if others can write to it."""
    hint = "create it as docs/install.md shows, or correct the path"
    try:
        mode = check.path.stat().st_mode
    except OSError as error:
        is_denied = isinstance(error, PermissionError)
        check.add_problem(
            f"{check.path} cannot be used: {error.strerror}", hint, is_denied=is_denied
        )
        return False
    if not stat.S_ISDIR(mode):
        check.add_problem(f"{check.path} is not a directory", hint)
        return False
    if mode & stat.S_IWOTH:
        check.add_problem(f"other users can write to {check.path}", f"chmod o-w {check.path}")
    return True


def _check_file_system(check: _DirectoryCheck, mounts: Path) -> None:
    found = file_system(check.path, mounts)
    if found is not None and found.removeprefix("fuse.") in _REMOTE:
        check.add_problem(f"is on {found}", "choose a directory on a local disk")
    if found in {"tmpfs", "ramfs"}:
        check.warnings.append(f"{check.key}: is in memory ({found}) and is lost at a reboot")


def _check_subdirectories(check: _DirectoryCheck) -> None:
    """Check that the directories of a spool exist and are on one file system."""
    devices: set[int] = set()
    missing: list[str] = []
    for name in Directory:
        try:
            devices.add((check.path / name).stat().st_dev)
        except OSError:
            missing.append(name)
    if missing:
        check.add_problem(
            f"{check.path} lacks {', '.join(missing)}", "create them as docs/install.md shows"
        )
    if len(devices) > 1:
        problem = "the spool's directories are on several file systems"
        check.add_problem(problem, "put them on one file system")


def _token_problems(config: Config, credentials: Path | None) -> Iterator[ConfigProblem]:
    path = token_source(config, credentials=credentials)
    if path is None:
        return
    try:
        read_token(path)
    except TokenError as error:
        yield ConfigProblem(
            path="cc-backend.token_file",
            problem=f"{path}: {error.problem}",
            hint=error.hint,
            is_denied=error.is_denied,
        )


def _named_file_problems(config: Config) -> Iterator[ConfigProblem]:
    authority = config.cc_backend.ca_file
    if authority is not None and not (os.access(authority, os.R_OK) and authority.is_file()):
        hint = "set it to a readable PEM file of certificates"
        is_denied = authority.is_file()
        yield ConfigProblem(
            path="cc-backend.ca_file",
            problem=f"{authority} cannot be read",
            hint=hint,
            is_denied=is_denied,
        )
    for position, path in enumerate(config.topology_files):
        try:
            read_topology(path)
        except (OSError, ValueError, RecursionError) as error:
            hint = "set it to the path of a copy of cc-backend's cluster.json"
            key = f"topology_files[{position}]"
            is_denied = isinstance(error, PermissionError)
            why = "not a cluster.json"
            if isinstance(error, OSError):
                why = error.strerror or "cannot be read"
            problem = f"{path} cannot be used: {why}"
            yield ConfigProblem(path=key, problem=problem, hint=hint, is_denied=is_denied)

"""Cached facts about the cluster: its nodes, and the release of its commands."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from slurm.commands import MAX_LISTING_BYTES, SlurmCommands
from slurm.decode.release_text import parse_release
from slurm.decode.scontrol_nodes import Node, parse_nodes
from slurm.errors import SlurmError, UnknownJob
from slurm.release import Release, ReleaseFeatures, features_of

RECHECK_SECONDS = 600.0
RETRY_SECONDS = 60.0
_log = logging.getLogger(__name__)


class NodeGeometries:
    """Nodes by name; all are read at once, and again for each unknown name and when they are old.

    The sockets, cores and threads of a node change: hyper-threading or the number of sockets that
    the firmware shows is set anew, or its name is given to another machine.
    """

    def __init__(self, commands: SlurmCommands, clock: Callable[[], float]) -> None:
        self._commands = commands
        self._clock = clock
        self._read_at = self._retry_at = float("-inf")
        self._nodes: Mapping[str, Node] = {}
        self._queried: set[str] = set()

    def node(self, name: str) -> Node | None:
        """Return a node; None if the controller has no such node.

        Raises:
            SlurmError: the controller's answer is unknown.
        """
        if name in self._nodes or name in self._queried:
            self._refresh()
        else:
            self._load()
            self._queried.add(name)
        return self._nodes.get(name)

    def known(self) -> Mapping[str, Node]:
        """Return the nodes by name, read if there are none or old ones; {} if that fails.

        Meant for past runs: a node that no longer exists does not cause another query.
        """
        self._refresh()
        return {} if self._is_old() else self._nodes

    def forget(self) -> None:
        """Read the nodes again when they are next needed."""
        self._nodes, self._retry_at = {}, float("-inf")
        self._queried.clear()

    def _refresh(self) -> None:
        """Read the nodes if there are none or old ones; if that fails, keep the earlier ones.

        Otherwise, while this command alone fails, the jobs that squeue shows could not be read.
        """
        if self._nodes and not self._is_old():
            return
        if self._clock() < self._retry_at:
            return
        self._retry_at = self._clock() + RETRY_SECONDS
        try:
            self._load()
        except (SlurmError, UnknownJob) as error:
            _log.warning("the nodes cannot be read from Slurm: %s; trying again in a minute", error)

    def _is_old(self) -> bool:
        return self._clock() - self._read_at > RECHECK_SECONDS

    def _load(self) -> None:
        read_at = self._clock()
        argv = self._commands.show_nodes_argv()
        nodes = self._commands.read(argv, parse_nodes, limit_bytes=MAX_LISTING_BYTES)
        self._nodes, self._read_at = {node.name: node for node in nodes}, read_at


class InstalledRelease:
    """Slurm's release, read again if squeue's file changes, an answer is unreadable, or it is old.

    `squeue` may be a site's own wrapper whose file stays the same. `on_change` is called with each
    release that differs from the last one.
    """

    def __init__(
        self,
        commands: SlurmCommands,
        clock: Callable[[], float],
        on_change: Callable[[], object],
    ) -> None:
        self._commands = commands
        self._clock = clock
        self._on_change = on_change
        self._asked_at = 0.0
        self._is_confirmed = False
        self._file: tuple[int, int] | None = None
        self.known: Release | None = None
        """The release as last read; None before the first time."""

    def current(self) -> Release:
        """Return Slurm's release; read it again if `squeue` was replaced or the answer is old.

        Raises:
            SlurmError: squeue does not say.
        """
        file = _file_identity(self._commands.squeue)
        is_old = self._clock() - self._asked_at > RECHECK_SECONDS
        if self.known is None or not self._is_confirmed or is_old or file != self._file:
            return self._detect(file)
        return self.known

    def features(self, *, refresh: bool = False) -> ReleaseFeatures:
        """Return the features of Slurm's release; `refresh`: run `squeue --version` again first.

        Raises:
            SlurmError: squeue does not say.
        """
        if refresh:
            self.doubt()
        return features_of(self.current())

    def doubt(self) -> None:
        """Read the release again at the next use."""
        self._is_confirmed = False

    def _detect(self, file: tuple[int, int] | None) -> Release:
        release = self._commands.read([self._commands.squeue, "--version"], parse_release)
        if (release, file) != (self.known, self._file):
            _log.info("Slurm %s", release)
            self._on_change()
        self.known, self._file = release, file
        self._asked_at, self._is_confirmed = self._clock(), True
        return release


def _file_identity(path: str) -> tuple[int, int] | None:
    """Return inode and mtime of a command's file; None if it does not exist."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns

"""The nodes of the cluster, read from the controller when the first one is needed."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from slurm.commands import MAX_LISTING_BYTES, SlurmCommands
from slurm.decode.scontrol_nodes import Node, parse_nodes
from slurm.errors import SlurmError, UnknownJob

_log = logging.getLogger(__name__)


class NodeGeometries:
    """Nodes by name; all are read at once, and again for each unknown name."""

    def __init__(self, commands: SlurmCommands) -> None:
        self._commands = commands
        self._nodes: Mapping[str, Node] = {}
        self._queried: set[str] = set()

    def node(self, name: str) -> Node | None:
        """Return a node; None if the controller has no such node.

        Raises:
            SlurmError: the controller's answer is unknown.
        """
        if name not in self._nodes and name not in self._queried:
            self._load()
            self._queried.add(name)
        return self._nodes.get(name)

    def known(self) -> Mapping[str, Node]:
        """Return the nodes by name, read if there are none yet; {} if Slurm does not answer.

        Meant for past runs: a node that no longer exists does not cause another query.
        """
        if not self._nodes:
            try:
                self._load()
            except (SlurmError, UnknownJob) as error:
                _log.debug("node sharing of ended runs is unknown, no nodes: %s", error)
        return self._nodes

    def forget(self) -> None:
        """Read the nodes again when they are next needed."""
        self._nodes = {}
        self._queried.clear()

    def _load(self) -> None:
        argv = [self._commands.scontrol, "show", "node"]
        nodes = self._commands.read(argv, parse_nodes, limit_bytes=MAX_LISTING_BYTES)
        self._nodes = {node.name: node for node in nodes}

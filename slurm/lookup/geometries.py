"""The geometry of nodes, asked of the controller when it is first needed."""

from __future__ import annotations

from collections.abc import Mapping

from slurm.commands import MAX_LISTING_BYTES, SlurmCommands
from slurm.decode.scontrol_config import Geometry, parse_geometries


class NodeGeometries:
    """Geometries by node name; all nodes are asked for at once, again for each new name."""

    def __init__(self, commands: SlurmCommands) -> None:
        self._commands = commands
        self._geometries: Mapping[str, Geometry] = {}
        self._queried: set[str] = set()

    def geometry(self, name: str) -> Geometry | None:
        """Return a node's geometry; None if the controller does not know the node.

        Raises:
            SlurmError: the controller's answer is unknown.
        """
        if name not in self._geometries and name not in self._queried:
            argv = [self._commands.scontrol, "show", "node"]
            self._geometries = parse_geometries(
                self._commands.run(argv, limit_bytes=MAX_LISTING_BYTES).stdout
            )
            self._queried.add(name)
        return self._geometries.get(name)

    def forget(self) -> None:
        """Ask anew when next needed."""
        self._geometries = {}
        self._queried.clear()

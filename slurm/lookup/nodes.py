"""The geometry of nodes, asked of the controller when it is first needed."""

from __future__ import annotations

from collections.abc import Mapping

from slurm.ask import LISTING_BYTES, Ask
from slurm.config import Geometry, geometries_of


class Nodes:
    """Geometries by node name; all nodes are asked for at once, again for each new name."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: Mapping[str, Geometry] = {}
        self._asked_for: set[str] = set()

    def geometry(self, name: str) -> Geometry | None:
        """Return a node's geometry; None if the controller does not know the node.

        Raises:
            SlurmError: the controller's answer is unknown.
        """
        if name not in self._known and name not in self._asked_for:
            argv = [self._ask.scontrol, "show", "node"]
            self._known = geometries_of(self._ask(argv, limit_bytes=LISTING_BYTES).stdout)
            self._asked_for.add(name)
        return self._known.get(name)

    def forget(self) -> None:
        """Ask anew when next needed."""
        self._known = {}
        self._asked_for.clear()

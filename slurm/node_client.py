"""The client for the states of all nodes: one process for each answer."""

from __future__ import annotations

from slurm.commands import MAX_LISTING_BYTES, CommandPaths, SlurmCommands
from slurm.decode.node_states import NodeListing, NodeListingReader
from slurm.decode.scontrol_config import parse_controllers
from slurm.process import Runner


class NodeClient:
    """Slurm's nodes and controllers by its commands; for one thread."""

    def __init__(self, paths: CommandPaths, runner: Runner) -> None:
        self._commands = SlurmCommands(paths, runner)

    def listing(self) -> NodeListing:
        """Return the states of all nodes, hidden ones too; the text is read as it arrives.

        Raises:
            SlurmError: the answer is not complete, or our account may not see the nodes.
        """
        reader = NodeListingReader()
        argv = [self._commands.scontrol, "-a", "-d", "-o", "show", "node"]
        self._commands.run(argv, limit_bytes=MAX_LISTING_BYTES, sink=reader.feed)
        return reader.finish()

    def controllers(self) -> tuple[tuple[str, str, bool], ...]:
        """Return role (`primary`, `backup`...), host and whether it is up of each controller.

        Raises:
            SlurmError: scontrol cannot be run.
        """
        argv = [self._commands.scontrol, "ping"]
        return parse_controllers(self._commands.run(argv, statuses=(0, 1)).stdout)

"""`cc-spool`: the subcommands of the spool."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from spool.program import Program, Subcommand

CC_SPOOL = Program(
    name="cc-spool",
    about="Report Slurm jobs to cc-backend; keep each on disk until it has been delivered.",
    subcommands=(
        Subcommand(
            name="drain",
            module="spool.commands.drain",
            help="read the events of the hooks, ask Slurm, deliver to cc-backend (the service)",
            needs_delivery=True,
        ),
        Subcommand(
            name="status",
            module="spool.commands.status",
            help="show what is pending, for how long and why, and the last delivery",
        ),
        Subcommand(
            name="list",
            module="spool.commands.list",
            help="list the files in the spool with their reason, one per line",
        ),
        Subcommand(
            name="show",
            module="spool.commands.show",
            help="show one job or file: its facts, its state, the server's answer, what to do",
        ),
        Subcommand(
            name="retry",
            module="spool.commands.retry",
            help="requeue dead letters after their cause was repaired; deliver pending runs now",
        ),
        Subcommand(
            name="discard",
            module="spool.commands.discard",
            help="remove dead letters for good; they are not reported",
        ),
        Subcommand(
            name="replay",
            module="spool.commands.replay",
            help="import events and runs from another spool or from the archive, to deliver again",
        ),
        Subcommand(
            name="check",
            module="spool.commands.check",
            help="monitoring plugin; --full also verifies Slurm, cc-backend and the hooks",
            reads_own_config=True,
        ),
        Subcommand(
            name="draft-cluster",
            module="spool.commands.draft_cluster",
            help="write a cluster.json for cc-backend from Slurm's nodes, to be completed by hand",
        ),
        Subcommand(
            name="draft-gpus",
            module="spool.commands.draft_gpus",
            help="write gpuPciAddrs from the output of nvidia-smi or rocm-smi",
            reads_own_config=True,
        ),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cc-spool`; return its exit code."""
    return CC_SPOOL.run(argv)


if __name__ == "__main__":
    sys.exit(main())

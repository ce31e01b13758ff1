"""`cc-spool`: the subcommands of the spool."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from spool.program import Program, Subcommand

CC_SPOOL = Program(
    name="cc-spool",
    about="Tells cc-backend of Slurm's jobs, and keeps them on disk until it knows.",
    subcommands=(
        Subcommand(
            name="drain",
            module="spool.commands.drain",
            help="resolve what the hooks left and tell cc-backend, for ever or once",
            needs_delivery=True,
        ),
        Subcommand(
            name="status",
            module="spool.commands.status",
            help="how much waits, since when, and why",
        ),
        Subcommand(
            name="list", module="spool.commands.list", help="what lies in the spool, a line each"
        ),
        Subcommand(
            name="show",
            module="spool.commands.show",
            help="one run, event or file: why it lies there and what to do",
        ),
        Subcommand(
            name="retry",
            module="spool.commands.retry",
            help="have dead letters tried again, after their cause was mended",
        ),
        Subcommand(
            name="discard", module="spool.commands.discard", help="give dead letters up, for good"
        ),
        Subcommand(
            name="replay",
            module="spool.commands.replay",
            help="feed kept events and runs back in, so that all is told again",
        ),
        Subcommand(
            name="check",
            module="spool.commands.check",
            help="tell monitoring whether all is well, or with --full whether all fits together",
            reads_own_config=True,
        ),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cc-spool`; return its exit code."""
    return CC_SPOOL.run(argv)


if __name__ == "__main__":
    sys.exit(main())

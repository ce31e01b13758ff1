"""`cc-spool`: the verbs of the spool."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from spool.program import Program, Verb

CC_SPOOL = Program(
    name="cc-spool",
    about="Tells cc-backend of Slurm's jobs, and keeps them on disk until it knows.",
    verbs=(
        Verb(
            name="drain",
            module="spool.commands.drain",
            help="resolve what the hooks left and tell cc-backend, for ever or once",
            delivers=True,
        ),
        Verb(
            name="status",
            module="spool.commands.status",
            help="how much waits, since when, and why",
        ),
        Verb(name="list", module="spool.commands.list", help="what lies in the spool, a line each"),
        Verb(
            name="show",
            module="spool.commands.show",
            help="one run, event or file: why it lies there and what to do",
        ),
        Verb(
            name="retry",
            module="spool.commands.retry",
            help="have dead letters tried again, after their cause was mended",
        ),
        Verb(
            name="discard", module="spool.commands.discard", help="give dead letters up, for good"
        ),
        Verb(
            name="replay",
            module="spool.commands.replay",
            help="feed kept events and runs back in, so that all is told again",
        ),
        Verb(
            name="check",
            module="spool.commands.check",
            help="tell monitoring whether all is well, or with --full whether all fits together",
            judges=True,
        ),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cc-spool`; return its exit code."""
    return CC_SPOOL.run(argv)


if __name__ == "__main__":
    sys.exit(main())

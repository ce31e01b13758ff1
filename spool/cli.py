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
        # check: Verb(name="check", module="spool.commands.check", ...)
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cc-spool`; return its exit code."""
    return CC_SPOOL.run(argv)


if __name__ == "__main__":
    sys.exit(main())

"""`cc-sweep`: Slurm against cc-backend, the differences shown or repaired."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from spool.program import Program, Subcommand

CC_SWEEP = Program(
    name="cc-sweep",
    about="Compares Slurm with cc-backend and repairs the differences (without a verb: plan).",
    subcommands=(
        Subcommand(
            name="plan",
            module="sweeper.commands.plan",
            help="show what differs, change nothing",
            needs_delivery=True,
        ),
        Subcommand(
            name="apply",
            module="sweeper.commands.apply",
            help="repair what differs, through the spool",
            needs_delivery=True,
        ),
        Subcommand(
            name="explain",
            module="sweeper.commands.explain",
            help="show one job: Slurm, spool, cc-backend, the verdict",
            needs_delivery=True,
        ),
        Subcommand(
            name="backfill",
            module="sweeper.commands.backfill",
            help="tell history from accounting",
            needs_delivery=True,
        ),
    ),
)
_WITHOUT_VERB = frozenset({"-h", "--help", "--version"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cc-sweep`; return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    subcommands = {subcommand.name for subcommand in CC_SWEEP.subcommands}
    if not subcommands.intersection(words) and not _WITHOUT_VERB.intersection(words):
        words = ["plan", *words]
    return CC_SWEEP.run(words)


if __name__ == "__main__":
    sys.exit(main())

"""`cc-sweep`: compares Slurm with cc-backend, shows the differences or repairs them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from spool.program import Program, Subcommand

CC_SWEEP = Program(
    name="cc-sweep",
    about="Compare Slurm with cc-backend and repair the differences (without a subcommand: plan).",
    subcommands=(
        Subcommand(
            name="plan",
            module="sweeper.commands.plan",
            help="show the differences; change nothing",
            needs_delivery=True,
        ),
        Subcommand(
            name="apply",
            module="sweeper.commands.apply",
            help="repair the differences through the spool",
            needs_delivery=True,
        ),
        Subcommand(
            name="explain",
            module="sweeper.commands.explain",
            help="show what Slurm, the spool and cc-backend know about one job, and what differs",
            needs_delivery=True,
        ),
        Subcommand(
            name="backfill",
            module="sweeper.commands.backfill",
            help="report past jobs from Slurm accounting",
            needs_delivery=True,
        ),
        Subcommand(
            name="nodes",
            module="sweeper.commands.nodes",
            help="report the states of all nodes once (the drain does it every five minutes)",
            needs_delivery=True,
        ),
    ),
)
_WITHOUT_SUBCOMMAND = frozenset({"-h", "--help", "--version"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cc-sweep`; return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    subcommands = {subcommand.name for subcommand in CC_SWEEP.subcommands}
    if not subcommands.intersection(words) and not _WITHOUT_SUBCOMMAND.intersection(words):
        words = ["plan", *words]
    return CC_SWEEP.run(words)


if __name__ == "__main__":
    sys.exit(main())

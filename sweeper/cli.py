"""`cc-sweep`: compares Slurm with cc-backend, shows the differences or repairs them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from spool.exit_codes import MEANINGS
from spool.program import HELP, Program, Subcommand

CC_SWEEP = Program(
    name="cc-sweep",
    about="Compare Slurm with cc-backend and repair the differences (without a subcommand: plan).",
    examples=(
        ("cc-sweep plan", "show what differs between Slurm and cc-backend"),
        ("cc-sweep apply", "repair the differences"),
        ("cc-sweep explain 4711", "show what Slurm, spool and cc-backend know about job 4711"),
    ),
    subcommands=(
        Subcommand(
            name="plan",
            module="sweeper.commands.plan",
            help="show the differences; change nothing",
            needs_delivery=True,
            examples=(
                ("cc-sweep plan -j 4711", "compare only job 4711"),
                ("cc-sweep plan --direction stop", "show only missing stops"),
            ),
            exit_codes={
                0: "no differences",
                10: MEANINGS[10],
                11: "a safety check refuses the repairs",
            },
        ),
        Subcommand(
            name="apply",
            module="sweeper.commands.apply",
            help="repair the differences: write events into the spool, wait until the drain has"
            " delivered them",
            needs_delivery=True,
            examples=(("cc-sweep apply --limit 100", "report at most 100 starts and 100 stops"),),
        ),
        Subcommand(
            name="explain",
            module="sweeper.commands.explain",
            help="show what Slurm, the spool and cc-backend know about one job, and what differs",
            needs_delivery=True,
            examples=(("cc-sweep explain 4711 --json", "write the report as JSON, for a script"),),
        ),
        Subcommand(
            name="backfill",
            module="sweeper.commands.backfill",
            help="report jobs that ended in a given period, from Slurm accounting",
            needs_delivery=True,
            examples=(
                (
                    "cc-sweep backfill --since 2026-01-01 --until 2026-02-01 --dry-run",
                    "count the jobs of January that cc-backend does not have",
                ),
            ),
        ),
        Subcommand(
            name="nodes",
            module="sweeper.commands.nodes",
            help="report the states of all nodes once (the drain does it every five minutes)",
            needs_delivery=True,
        ),
    ),
)
# Python's own 700 has it look for cycles again and again while a list of 100 000 jobs is read.
_OBJECTS_PER_COLLECTION = 50_000
_WITHOUT_SUBCOMMAND = frozenset({"-h", "--help", "--version", HELP})


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cc-sweep`; return its exit code."""
    gc.set_threshold(_OBJECTS_PER_COLLECTION)
    words = sys.argv[1:] if argv is None else list(argv)
    subcommands = {subcommand.name for subcommand in CC_SWEEP.subcommands}
    if not subcommands.intersection(words) and not _WITHOUT_SUBCOMMAND.intersection(words):
        words = ["plan", *words]
    return CC_SWEEP.run(words)


if __name__ == "__main__":
    sys.exit(main())

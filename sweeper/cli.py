"""`cc-sweep`: Slurm against cc-backend, the differences shown or repaired."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from spool.program import Program, Verb

CC_SWEEP = Program(
    name="cc-sweep",
    about="Compares Slurm with cc-backend and repairs the differences (without a verb: plan).",
    verbs=(
        Verb(
            name="plan",
            module="sweeper.commands.plan",
            help="show what differs, change nothing",
            delivers=True,
        ),
        Verb(
            name="apply",
            module="sweeper.commands.apply",
            help="repair what differs, through the spool",
            delivers=True,
        ),
        Verb(
            name="explain",
            module="sweeper.commands.explain",
            help="show one job: Slurm, spool, cc-backend, the verdict",
            delivers=True,
        ),
        Verb(
            name="backfill",
            module="sweeper.commands.backfill",
            help="tell history from accounting",
            delivers=True,
        ),
    ),
)
_ALONE = frozenset({"-h", "--help", "--version"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cc-sweep`; return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    verbs = {verb.name for verb in CC_SWEEP.verbs}
    if not verbs.intersection(words) and not _ALONE.intersection(words):
        words = ["plan", *words]
    return CC_SWEEP.run(words)


if __name__ == "__main__":
    sys.exit(main())

"""`cc-spool`: the subcommands of the spool."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from spool.exit_codes import DRIFT, MEANINGS
from spool.program import Program, Subcommand

CC_SPOOL = Program(
    name="cc-spool",
    about="Report Slurm jobs to cc-backend; keep each on disk until it has been delivered.",
    examples=(
        ("cc-spool status", "show what is pending, for how long and why"),
        ("cc-spool show 4711", "show the runs of job 4711, and what to do about them"),
        ("cc-spool retry ALL", "requeue all dead letters, and deliver all pending runs now"),
        ("cc-spool check --full", "verify the complete setup; nothing is changed"),
    ),
    exit_codes={code: text for code, text in MEANINGS.items() if code != DRIFT},
    subcommands=(
        Subcommand(
            name="drain",
            module="spool.commands.drain",
            help="read the events of the hooks, ask Slurm, deliver to cc-backend (the service)",
            needs_delivery=True,
            examples=(
                ("cc-spool drain", "run until it is stopped, as the service does"),
                ("cc-spool drain --once", "deliver what can be delivered now, then exit"),
                ("cc-spool drain --once --debug", "debug log: also log what is done for each job"),
            ),
        ),
        Subcommand(
            name="status",
            module="spool.commands.status",
            help="show what is pending, for how long and why, and the last delivery",
        ),
        Subcommand(
            name="list",
            module="spool.commands.list",
            help="list the files in the spool, one per line, with the reason why each one waits",
            examples=(
                (
                    "cc-spool list todo --older 2h",
                    "list runs that have waited two hours or longer for their delivery",
                ),
                ("cc-spool list dead --user ada", "list the dead letters of one user"),
                ("cc-spool list --reason 'no host'", "list runs whose reason contains this text"),
            ),
        ),
        Subcommand(
            name="show",
            module="spool.commands.show",
            help="show one job or file: its facts, its state, cc-backend's answer, what to do",
            examples=(("cc-spool show 4711", "show all runs of job 4711"),),
        ),
        Subcommand(
            name="retry",
            module="spool.commands.retry",
            help="requeue dead letters after the cause was corrected; deliver pending runs now",
            examples=(
                ("cc-spool retry 4711", "requeue the dead letters of job 4711"),
                ("cc-spool retry ALL --dry-run", "show what would be requeued"),
            ),
        ),
        Subcommand(
            name="discard",
            module="spool.commands.discard",
            help="remove dead letters permanently, without reporting them",
            examples=(("cc-spool discard 4711 --dry-run", "show what would be removed"),),
        ),
        Subcommand(
            name="replay",
            module="spool.commands.replay",
            help="import events and runs of another spool or of an archive; the drain delivers"
            " them",
            examples=(
                ("cc-spool replay /var/lib/cc-slurm-sync/delivered", "deliver the archive again"),
            ),
        ),
        Subcommand(
            name="metrics",
            module="spool.commands.metrics",
            help="print metrics for Prometheus once (docs/monitoring.md)",
        ),
        Subcommand(
            name="check",
            module="spool.commands.check",
            help="run as a monitoring plugin; --full also verifies Slurm, cc-backend and hooks",
            reads_own_config=True,
            examples=(
                (
                    "cc-spool check -w 600 --critical 1800",
                    "warn after 10 minutes, critical after 30",
                ),
                (
                    "cc-spool check --full",
                    "verify the complete setup, even before the service is first started",
                ),
            ),
            exit_codes={
                0: "OK",
                1: "WARNING",
                2: "CRITICAL",
                3: "UNKNOWN: the check could not be run",
            },
        ),
        Subcommand(
            name="configtest",
            module="spool.commands.configtest",
            help="check a configuration file; exit 0 if it is valid, 78 if not",
            reads_own_config=True,
            examples=(
                ("cc-spool configtest /tmp/new.json", "check a file before it is installed"),
            ),
            exit_codes={
                0: "the file is valid",
                78: "the configuration has errors; all of them are shown",
            },
        ),
        Subcommand(
            name="import-config",
            module="spool.commands.import_config",
            help="convert a configuration of cc-slurm-adapter or of the older script cc-slurm-sync",
            reads_own_config=True,
            examples=(
                (
                    "cc-spool import-config /etc/cc-slurm-adapter/config.json >config.json",
                    (
                        "convert an old configuration (to stdout); report on stderr what was done"
                        " with each key"
                    ),
                ),
            ),
        ),
        Subcommand(
            name="draft-cluster",
            module="spool.commands.draft_cluster",
            help="print a cluster.json for cc-backend from Slurm's nodes, to be completed by hand",
        ),
        Subcommand(
            name="draft-gpus",
            module="spool.commands.draft_gpus",
            help="print the key gpuPciAddrs of the configuration, made from the output of"
            " nvidia-smi or rocm-smi",
            reads_own_config=True,
        ),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cc-spool`; return its exit code."""
    return CC_SPOOL.run(argv)


if __name__ == "__main__":
    sys.exit(main())

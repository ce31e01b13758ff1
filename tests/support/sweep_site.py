"""A site for `cc-sweep`: a stub server, and shell scripts that print what Slurm would."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from command_line import Said, call
from command_site import CommandSite
from faulty_slurm import FaultySlurm, ListedRun
from stub_server import Model, StubServer

from sweeper.cli import main

HOUR = 3600
SQUEUE = """#!/bin/sh
case "$*" in
*--version*) echo 'slurm 22.05.8' ;;
*-o*) cat {root}/squeue.txt; exit $(cat {root}/squeue.code) ;;
*) echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1 ;;
esac
"""
SCONTROL = """#!/bin/sh
case "$*" in
ping) cat {root}/ping.txt ;;
*config*) cat {root}/config.txt ;;
*node*) cat {root}/nodes.txt ;;
*) echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1 ;;
esac
"""
SACCT = """#!/bin/sh
for word; do
    case "$word" in --delimiter=*) new=${{word#--delimiter=}} ;; esac
done
sed "s/$(printf '\\037')/$new/g" {root}/sacct.txt
exit $(cat {root}/sacct.code)
"""


class SweepSite(CommandSite):
    """Commands of Slurm, spool, state and server; `mark` says that a sweep was applied before."""

    def __init__(self, root: Path, *, mark: bool = True, **sweep: Any) -> None:
        super().__init__(root)
        self.now = int(time.time())
        self.runs: list[ListedRun] = []
        self.server = StubServer(Model(version="1.4.4"))
        self.token.write_text("TOKEN:api\n")
        for name, text in (("squeue", SQUEUE), ("scontrol", SCONTROL), ("sacct", SACCT)):
            (root / name).write_text(text.format(root=root))
            (root / name).chmod(0o755)
            self.document.setdefault("slurm", {})[name] = str(root / name)
        self.document["cc-backend"]["host"] = self.server.url
        self.document["sweep"] = sweep
        self.document["drain"] = {"stop_hold_seconds": 120}
        self.write()
        self.truth = FaultySlurm(now=self.now)
        self.say()
        (root / "nodes.txt").write_text("No nodes in the system\n")
        (root / "ping.txt").write_text("Slurmctld(primary) at ctl01 is UP\n")
        if mark:
            (self.state / "sweep.json").write_text(f'{{"mark": {self.now - 600}}}')

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()

    def say(self, *, squeue: int = 0, sacct: int = 0) -> None:
        """Write what squeue, sacct and scontrol print, and the exit codes of squeue and sacct."""
        listed = "".join(run.squeue() for run in self.runs if run.in_squeue)
        (self.root / "squeue.txt").write_text(listed)
        (self.root / "squeue.code").write_text(str(squeue))
        rows = "".join(run.sacct("lab") for run in self.runs if run.accounted != "")
        (self.root / "sacct.txt").write_text(rows)
        (self.root / "sacct.code").write_text(str(sacct))
        (self.root / "config.txt").write_text(self.truth.configuration())

    def run(self, *runs: ListedRun) -> None:
        """Add runs to Slurm."""
        self.runs += runs
        self.say()

    def row(self, job_id: int, start: int, state: str = "running") -> None:
        """Add a row to cc-backend."""
        row = {"id": job_id * 10, "jobId": job_id, "cluster": "lab", "startTime": start}
        self.server.model.job[job_id, "lab", start] = {**row, "jobState": state, "user": "ada"}

    def sweep(self, *words: object, terminal: bool = False) -> Said:
        """Call `cc-sweep` with this configuration."""
        return call(*words, "-c", self.config, program=main, terminal=terminal)


@contextmanager
def site(root: Path, **options: Any) -> Iterator[SweepSite]:
    """Yield a site while its server runs."""
    with SweepSite(root, **options) as made:
        yield made


def drifted(made: SweepSite) -> tuple[ListedRun, ListedRun, ListedRun]:
    """Make and return three runs: in order, without its stop, and missing at cc-backend."""
    now = made.now
    kept = ListedRun(7, now - 2 * HOUR)
    ended = ListedRun(8, now - 2 * HOUR, "FAILED", now - HOUR, in_squeue=False)
    unseen = ListedRun(9, now - 2 * HOUR + 9, "COMPLETED", now - HOUR, in_squeue=False)
    made.run(kept, ended, unseen)
    made.row(7, kept.start)
    made.row(8, ended.start)
    return kept, ended, unseen

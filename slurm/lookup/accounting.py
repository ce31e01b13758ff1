"""Reads runs from accounting: `sacct` with an explicit window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from slurm.commands import MAX_LISTING_BYTES, SlurmCommands
from slurm.decode.fields.sharing import sharing_from_cpus
from slurm.decode.sacct_rows import (
    BATCH_STEP_FIELDS,
    SACCT_FIELDS,
    SACCT_SHARING,
    new_separator,
    parse_batch_steps,
    parse_sacct_rows,
)
from slurm.decode.scontrol_nodes import Node
from slurm.errors import SlurmError
from slurm.job import NO_ERROR, REQUEUED, Job
from slurm.light_dataclass import light_dataclass
from slurm.lookup.cluster_facts import NodeGeometries
from slurm.lookup.result import IDS_PER_CALL

WINDOW_TIMEOUT_SECONDS = 300.0
EARLIEST_SACCT_TIME = 1_000_000  # no earlier `uts` time (`src/common/parse_time.c`, all releases)
STEP_DELAY_SECONDS = 5  # a batch step starts with its run, or soon after it
_END_STATES = "CD,F,TO,CA,NF,PR,BF,DL,OOM,RQ"  # sacct(1), 21.08 ... 26.05; RESIZING is not an end


@light_dataclass
class AccountingLookup:
    """The look-up of runs in a cluster's accounting; `has_sharing`: sacct prints node sharing."""

    commands: SlurmCommands
    nodes: NodeGeometries
    cluster: str
    has_sharing: bool

    def runs_of(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run of some jobs between two instants.

        Raises:
            SlurmError: accounting's answer is unknown.
        """
        wanted = sorted(set(ids))
        rows: list[Job] = []
        for first in range(0, len(wanted), IDS_PER_CALL):
            part = ",".join(map(str, wanted[first : first + IDS_PER_CALL]))
            rows += self._query(["-j", part], since, until, timeout_seconds=None)
        return self._without_borrowed_exit_codes(rows, since, until)

    def ended(self, *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run of any job that ended in a window.

        Without states sacct would also list running jobs: the complete queue at every sweep.

        Raises:
            SlurmError: accounting's answer is unknown.
        """
        chosen = ["-a", "-s", _END_STATES]
        return self._query(chosen, since, until, timeout_seconds=WINDOW_TIMEOUT_SECONDS)

    def _query(
        self, selection: Sequence[str], since: int, until: int, *, timeout_seconds: float | None
    ) -> tuple[Job, ...]:
        separator = new_separator()
        fields = SACCT_FIELDS + (SACCT_SHARING if self.has_sharing else "")
        argv = [*self._window(separator, since, until), "-X", "-o", fields]
        rows = self.commands.read(
            [*argv, *selection],
            lambda stdout: parse_sacct_rows(
                stdout, fields=fields, separator=separator, cluster=self.cluster
            ),
            limit_bytes=MAX_LISTING_BYTES,
            timeout_seconds=timeout_seconds,
        )
        return self._with_sharing(rows)

    def _without_borrowed_exit_codes(
        self, runs: Sequence[Job], since: int, until: int
    ) -> tuple[Job, ...]:
        """Return the runs, without the exit code of requeued runs that were interrupted.

        Of a run that was interrupted (preemption, `scontrol requeue`, a failed launch) and of one
        that Slurm requeued after its end (scrontab, RequeueExit) accounting says the same, REQUEUED
        and 0:0. Only the batch step differs: it was cancelled (recorded with 22.05.8 to 26.05.5).
        """
        ids = sorted({run.job_id for run in runs if _is_requeued(run)})
        if not ids:
            return tuple(runs)
        argv = [*self._window("|", since, until), "-o", BATCH_STEP_FIELDS]
        argv += ["-j", ",".join(map(str, ids))]
        try:
            steps = self.commands.read(argv, parse_batch_steps, limit_bytes=MAX_LISTING_BYTES)
        except SlurmError:
            return tuple(runs)  # what else is known of the run has to do
        cancelled = [(job_id, start) for job_id, start, state in steps if state == "CANCELLED"]
        return tuple(
            replace(run, exit_code=None)
            if _is_requeued(run) and any(_is_step_of(run, *step) for step in cancelled)
            else run
            for run in runs
        )

    def _window(self, separator: str, since: int, until: int) -> list[str]:
        # `-D` shows all runs of a requeued job, not only the last one.
        argv = [self.commands.sacct, "-D", "-P", "-n", f"--delimiter={separator}"]
        argv += ["-M", self.cluster]
        return [*argv, "-S", f"uts{max(since, EARLIEST_SACCT_TIME)}", "-E", f"uts{until}"]

    def _with_sharing(self, runs: tuple[Job, ...]) -> tuple[Job, ...]:
        """Return the runs; where accounting has no node sharing, derive it from the CPU counts."""
        if all(run.sharing is not None or not run.nodes for run in runs):
            return runs
        nodes = self.nodes.known()
        return tuple(run if run.sharing else _shared_by_cpus(run, nodes) for run in runs)


def _is_requeued(run: Job) -> bool:
    return run.state == REQUEUED and run.exit_code == NO_ERROR


def _is_step_of(run: Job, job_id: int, start: int) -> bool:
    is_near = abs(start - (run.start_time or 0)) <= STEP_DELAY_SECONDS
    return job_id == run.job_id and is_near


def _shared_by_cpus(run: Job, nodes: Mapping[str, Node]) -> Job:
    of_nodes = [nodes[name].cpus if name in nodes else None for name in run.nodes]
    return replace(run, sharing=sharing_from_cpus(run.cpus, of_nodes))

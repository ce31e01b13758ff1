"""All that is known of one job: what Slurm says, what the spool has, what cc-backend has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ccbackend.replies import BackendRow
from slurm.errors import SlurmError
from slurm.job import Job
from slurm.light_dataclass import light_dataclass
from spool.errors import UnusableFileError
from spool.escaping import escape
from spool.files import codec
from spool.files.archive import archive_lines
from spool.files.codec import load_run
from spool.files.inventory import EventFile, read_dead, read_events
from spool.files.layout import RUN_DIRECTORIES, Directory, Layout
from spool.files.run import Run
from spool.resolve.slurm_runs import own_ends, runs_of_accounting
from sweeper.observe.collector import Observation
from sweeper.observe.sources import SweepSources
from sweeper.values import Plan

YEAR_SECONDS = 366 * 86400


class SpoolRun(NamedTuple):
    """A run in the spool and the directory that has its file."""

    directory: Directory
    run: Run


@light_dataclass
class JobReport:
    """All that is known of a job id.

    `controller_record` is the controller's, None where it has none; `array_tasks` are other ids of
    the same array. `accounting_runs` are accounting's, oldest first; one that Slurm requeued after
    it had ended (scrontab) has its own end. `delivered` are runs kept after cc-backend accepted
    their end. `unanswered` names who did not answer, and the reason.
    """

    job_id: int
    controller_record: Job | None
    array_tasks: tuple[int, ...]
    accounting_runs: tuple[Job, ...]
    spool_events: tuple[EventFile, ...]
    spool_runs: tuple[SpoolRun, ...]
    delivered: tuple[Run, ...]
    backend_rows: tuple[BackendRow, ...]
    plan: Plan
    unanswered: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Return in words what is wrong with the job, or that nothing is."""
        return "; ".join(_verdicts(self))

    @property
    def command(self) -> str | None:
        """Return the command that would repair the job; None if none is needed, or none helps."""
        if self.plan.changes and not self.plan.guards:
            return f"cc-sweep apply -j {self.job_id}"
        dead = next((each for each in self.spool_runs if each.directory is Directory.DEAD), None)
        return None if dead is None else f"cc-spool retry {dead.run.name}"


def build_job_report(
    sources: SweepSources, archive: Path, job_id: int, *, observation: Observation, plan: Plan
) -> JobReport:
    """Gather all that is known of a job.

    `archive` is the directory of delivered runs. `observation` is what a sweep of this job alone
    saw, `plan` what it would do.
    """
    unanswered: list[str] = []
    record = _controller_record(sources, job_id, unanswered)
    array_tasks = _array_tasks(sources, record, unanswered)
    runs = _accounting_runs(sources, job_id, observation, unanswered)
    layout = sources.layout
    return JobReport(
        job_id=job_id,
        controller_record=record,
        array_tasks=array_tasks,
        accounting_runs=own_ends(runs, record),
        spool_events=tuple(_spool_events(layout, job_id)),
        spool_runs=tuple(_spool_runs(layout, job_id)),
        delivered=tuple(_delivered_runs(archive, job_id)),
        backend_rows=_backend_rows(sources, job_id, unanswered),
        plan=plan,
        unanswered=tuple(unanswered),
    )


def _verdicts(job_report: JobReport) -> Iterator[str]:
    for guard in job_report.plan.guards:
        yield f"cannot be judged now: {guard.text}"
    for change in job_report.plan.changes:
        yield f"to be repaired by a sweep ({type(change).__name__.lower()}): {change.why}"
    for report in job_report.plan.reports:
        yield f"needs an administrator: {report.why}"
    words = [
        _VERDICT_OF_STATUS[word] for word in job_report.plan.skipped if word in _VERDICT_OF_STATUS
    ]
    yield from words
    is_silent = not (
        job_report.plan.guards or job_report.plan.changes or job_report.plan.reports or words
    )
    if is_silent and not job_report.backend_rows and not job_report.accounting_runs:
        yield "has not started, so there is nothing to report"
    elif is_silent:
        yield "in agreement: cc-backend shows the same as Slurm"


_VERDICT_OF_STATUS = {
    "queued": "pending: it is in the spool, and the drain will deliver it",
    "unreported": (
        "excluded by its opt-out flag, a filter, drain.requeue, a later run at cc-backend, or"
        " `cc-spool discard`"
    ),
    "dead": "rejected: it is a dead letter, see `cc-spool show`",
    "young": "pending: cc-backend may have accepted it, but does not list it yet",
    "confirming": "pending: the last sweep reported its end, and the next one checks it",
    "moved": "nothing to do: Slurm changed its start time after it was delivered",
    "requeued": (
        "nothing to do: cc-backend keeps only one run of a job id per day, and has another one"
    ),
}


def _controller_record(sources: SweepSources, job_id: int, unanswered: list[str]) -> Job | None:
    try:
        found = sources.slurm.jobs([job_id]).get(job_id)
    except SlurmError as error:
        found = error
    if isinstance(found, SlurmError):
        unanswered.append(escape(f"slurmctld: {found}"))
        return None
    return found


def _array_tasks(
    sources: SweepSources, record: Job | None, unanswered: list[str]
) -> tuple[int, ...]:
    """Return the job ids of the other tasks of the job's array that have started."""
    if record is None or not record.array_job_id:
        return ()
    try:
        found = sources.slurm.queue_snapshot().started_tasks(record.array_job_id)
    except SlurmError as error:
        unanswered.append(escape(f"slurmctld: {error}"))
        return ()
    return tuple(sorted({*found} - {record.job_id}))


def _accounting_runs(
    sources: SweepSources, job_id: int, observation: Observation, unanswered: list[str]
) -> tuple[Job, ...]:
    now = observation.now
    since = max(1, now - 5 * YEAR_SECONDS)
    starts = {row.start_time for row in observation.differences.backend_rows.get(job_id, ())}
    try:
        rows = sources.slurm.accounting([job_id], since=since, until=now + 1)
    except SlurmError as error:
        unanswered.append(escape(f"accounting: {error}"))
        return ()
    return runs_of_accounting(rows, job_id, starts=starts)


def _backend_rows(
    sources: SweepSources, job_id: int, unanswered: list[str]
) -> tuple[BackendRow, ...]:
    rows: list[BackendRow] = []
    for cluster in sources.clusters:
        listing = sources.backend.lookup(job_id, cluster)
        if listing.rows is None:
            unanswered.append(f"cc-backend: {listing.reply.verdict.hint}")
        rows += listing.rows or ()
    return tuple(sorted(rows, key=lambda row: row.start_time))


def _spool_events(layout: Layout, job_id: int) -> Iterator[EventFile]:
    for found in (*read_events(layout), *read_dead(layout)):
        if isinstance(found, EventFile) and found.event.job_id == job_id:
            yield found


def _spool_runs(layout: Layout, job_id: int) -> Iterator[SpoolRun]:
    for directory in RUN_DIRECTORIES:
        for name in sorted(layout.names(directory)):
            if name.startswith(f"{job_id}-"):
                with suppress(OSError, UnusableFileError):  # moved, or damaged
                    yield SpoolRun(directory, load_run(layout, directory, name))


def _delivered_runs(archive: Path, job_id: int) -> Iterator[Run]:
    mark = re.compile(rb'"job_id":%d\b' % job_id)
    for line in archive_lines(archive):
        if mark.search(line):
            with suppress(UnusableFileError):
                yield codec.decode_line("a delivered run", line)

"""One job on one page: what Slurm says, what the spool did, what cc-backend has, the verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ccbackend.replies import BackendRow
from slurm.errors import SlurmError
from slurm.job import Job as Record
from spool.errors import NewerFormatError, RunFileError
from spool.escaping import escape
from spool.files import codec
from spool.files.archive import archive_lines
from spool.files.durable_files import load_run
from spool.files.inventory import EventFile, read_dead, read_events
from spool.files.layout import RUN_DIRECTORIES, Directory, Layout
from spool.files.run import Run
from spool.resolve.slurm_runs import runs_of_accounting
from sweeper.look.eye import Observation
from sweeper.look.sources import Sources
from sweeper.values import Plan

YEAR_SECONDS = 366 * 86400


class Lies(NamedTuple):
    """A run and the directory that is its state."""

    directory: Directory
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that is known of a job id.

    `record` is the controller's, None where it has none; `members` are other ids of the same array
    or het job. `runs` are accounting's, oldest first. `delivered` are runs kept after cc-backend
    took their end. `silent` names who did not answer, in whose own words.
    """

    job_id: int
    record: Record | None
    members: tuple[int, ...]
    runs: tuple[Record, ...]
    events: tuple[EventFile, ...]
    held: tuple[Lies, ...]
    delivered: tuple[Run, ...]
    rows: tuple[BackendRow, ...]
    plan: Plan
    silent: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Return what is the matter, in one sentence."""
        return "; ".join(_verdicts(self))

    @property
    def command(self) -> str | None:
        """Return the command that would repair it; None if none is needed or would help."""
        if self.plan.changes and not self.plan.guards:
            return f"cc-sweep apply -j {self.job_id}"
        dead = next((each for each in self.held if each.directory is Directory.DEAD), None)
        return None if dead is None else f"cc-spool retry {dead.run.name}"


def explain(sources: Sources, archive: Path, job_id: int, *, seen: Observation, plan: Plan) -> Page:
    """Gather the page of a job.

    Args:
        sources: whom to ask.
        archive: directory of delivered runs.
        job_id: of the job.
        seen: what a sweep of this job alone saw.
        plan: what it would do.
    """
    silent: list[str] = []
    record = _record(sources, job_id, silent)
    layout = sources.layout
    return Page(
        job_id=job_id,
        record=record,
        members=_members(sources, record, silent),
        runs=_runs(sources, job_id, seen, silent),
        events=tuple(_own_events(layout, job_id)),
        held=tuple(_own_runs(layout, job_id)),
        delivered=tuple(_delivered(archive, job_id)),
        rows=_rows(sources, job_id, silent),
        plan=plan,
        silent=tuple(silent),
    )


def _verdicts(page: Page) -> Iterator[str]:
    for guard in page.plan.guards:
        yield f"cannot be judged now: {guard.text}"
    for change in page.plan.changes:
        yield f"to be repaired ({type(change).__name__.lower()}): {change.why}"
    for report in page.plan.reports:
        yield f"to be looked at: {report.why}"
    words = [_STANDINGS[word] for word in page.plan.known if word in _STANDINGS]
    yield from words
    is_silent = not (page.plan.guards or page.plan.changes or page.plan.reports or words)
    if is_silent and not page.rows and not page.runs:
        yield "has not begun: there is nothing to tell"
    elif is_silent:
        yield "in order: cc-backend has what Slurm says"


_STANDINGS = {
    "queued": "in hand: the spool holds it, the drain will tell it",
    "unreported": "left out by choice: an opt-out, a filter, or the requeue policy",
    "dead": "refused: it lies in dead/, see why there",
    "young": "too young to be judged: it may be told and not be listed yet",
    "confirming": "being confirmed: its end was told by the last sweep",
    "moved": "in order: its start moved after it was told, which cannot be changed",
    "requeued": "in order: cc-backend holds one run of an id a day, and has the other one",
}


def _record(sources: Sources, job_id: int, silent: list[str]) -> Record | None:
    try:
        found = sources.slurm.jobs([job_id]).get(job_id)
    except SlurmError as error:
        found = error
    if isinstance(found, SlurmError):
        silent.append(escape(f"controller: {found}"))
        return None
    return found


def _members(sources: Sources, record: Record | None, silent: list[str]) -> tuple[int, ...]:
    """Return the other tasks of an array that have begun."""
    if record is None or not record.array_job_id:
        return ()
    try:
        found = sources.slurm.queue_snapshot().started_tasks(record.array_job_id)
    except SlurmError as error:
        silent.append(escape(f"controller: {error}"))
        return ()
    return tuple(sorted({*found} - {record.job_id}))


def _runs(
    sources: Sources, job_id: int, seen: Observation, silent: list[str]
) -> tuple[Record, ...]:
    now = seen.now
    since = max(1, now - 5 * YEAR_SECONDS)
    starts = {row.start_time for row in seen.facts.there.get(job_id, ())}
    try:
        rows = sources.slurm.accounting([job_id], since=since, until=now + 1)
    except SlurmError as error:
        silent.append(escape(f"accounting: {error}"))
        return ()
    return runs_of_accounting(rows, job_id, starts=starts)


def _rows(sources: Sources, job_id: int, silent: list[str]) -> tuple[BackendRow, ...]:
    rows: list[BackendRow] = []
    for cluster in sources.clusters:
        listing = sources.backend.lookup(job_id, cluster)
        if listing.rows is None:
            silent.append(f"cc-backend: {listing.reply.verdict.hint}")
        rows += listing.rows or ()
    return tuple(sorted(rows, key=lambda row: row.start_time))


def _own_events(layout: Layout, job_id: int) -> Iterator[EventFile]:
    for found in (*read_events(layout), *read_dead(layout)):
        if isinstance(found, EventFile) and found.event.job_id == job_id:
            yield found


def _own_runs(layout: Layout, job_id: int) -> Iterator[Lies]:
    for directory in RUN_DIRECTORIES:
        for name in sorted(layout.names(directory)):
            if name.startswith(f"{job_id}-"):
                with suppress(OSError, RunFileError, NewerFormatError):  # moved, or odd: see `list`
                    yield Lies(directory, load_run(layout, directory, name))


def _delivered(archive: Path, job_id: int) -> Iterator[Run]:
    mark = re.compile(rb'"job_id":%d\b' % job_id)
    for line in archive_lines(archive):
        if mark.search(line):
            with suppress(RunFileError, NewerFormatError):
                yield codec.decode_line("a delivered run", line)

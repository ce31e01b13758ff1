"""The queries of one sweep to Slurm and cc-backend.

A complete answer is returned. An incomplete one becomes a finding of the safety checks, never a
short list: a sweep acts on what a list does not contain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field

from ccbackend.lookups import lookup_runs
from ccbackend.replies import BackendRow
from slurm.decode.job_rows import QueueSnapshot
from slurm.decode.scontrol_config import AS_OF, SlurmSettings, config_time, has_accounting
from slurm.errors import SlurmError
from slurm.job import REQUEUED, Job
from slurm.light_dataclass import light_dataclass
from spool.files.run_id import RunId
from spool.files.sweep_state import SweepState
from sweeper.diff import is_over
from sweeper.guard import AnswerCheckInput, check_answers, is_fresh
from sweeper.observe.accounting_runs import runs_by_job_id
from sweeper.observe.sources import SweepSources, backend_failure, slurm_failure
from sweeper.values import Differences, GuardFinding, SlurmRun, key_of_row

SLACK_SECONDS = 60
# slurmctld sends its messages to slurmdbd later if that was down: an hour covers a restart. A run
# whose row is later still is found from the other side, as a row that still runs at cc-backend, if
# its start was reported.
OVERLAP_SECONDS = 3600
# The window is read in parts; once there are so many runs, the rest waits for the next sweeps. The
# first part is read whole, however much it holds, and ends so long after the mark: each sweep
# brings the mark forward by that at least. If sweeps are further apart than this, `check` is
# CRITICAL anyway.
PART_SECONDS = 4 * 3600
MAX_ENDED = 10_000


@light_dataclass
class Observation:
    """What a sweep has seen.

    `now` is the controller's clock. `running_in_slurm` and `running_at_backend` count what runs by
    Slurm and by cc-backend, None where that was not seen. `ends_read_until` is until when the runs
    that ended were looked at (Unix seconds), None if none were. `only_single_jobs` says whether
    only named jobs were looked at.
    """

    differences: Differences = field(default_factory=Differences)
    answers: AnswerCheckInput
    now: int
    running_in_slurm: int | None = None
    running_at_backend: int | None = None
    has_accounting: bool = True
    ends_read_until: int | None = None
    only_single_jobs: bool = False

    @property
    def has_unread_ends(self) -> bool:
        """Return whether runs that ended are left for the next sweeps, because they are many."""
        return self.ends_read_until is not None and self.ends_read_until < self.now


class Collector:
    """The queries of one sweep, with the findings about their answers."""

    def __init__(self, sources: SweepSources, known_cluster: str | None) -> None:
        self.sources = sources
        self.now = int(sources.clock())
        self.has_accounting = True
        self._known_cluster = known_cluster
        self._failed: dict[str, GuardFinding] = {}
        self._settings: SlurmSettings = {}
        self._clock = self.now
        self._foreign_cluster: str | None = None

    def record_failure(self, guard: GuardFinding) -> None:
        """Record the finding of a failed query; only the first of each name is kept."""
        self._failed.setdefault(guard.name, guard)

    def running_rows(self) -> list[BackendRow] | None:
        """Return cc-backend's rows of running jobs; None if the list is incomplete."""
        self.sources.on_step("cc-backend")
        rows: list[BackendRow] = []
        for cluster in self.sources.clusters:
            listing = self.sources.backend.running_jobs(cluster)
            # Without the list of one cluster all of its jobs would seem to be missing.
            if listing.rows is None:
                self.record_failure(backend_failure(listing.reply))
                return None
            # A server that ignores the filter would give us rows of other clusters, all of which
            # would look like orphans.
            foreign = {row.cluster for row in listing.rows} - {cluster}
            self._foreign_cluster = min(foreign, default=self._foreign_cluster)
            rows += listing.rows
        return rows

    def queue_snapshot(self) -> QueueSnapshot | None:
        """Return the controller's job list, and store its configuration; None if either fails."""
        if not self.identify_controller():
            return None
        self.sources.on_step("squeue")
        try:
            snapshot = self.sources.slurm.queue_snapshot()
        except SlurmError as error:
            self.record_failure(slurm_failure("slurm", error))
            return None
        self.sources.on_queue(snapshot)
        return snapshot

    def identify_controller(self) -> bool:
        """Read and store the controller's configuration and clock; False if it does not answer."""
        self.sources.on_step("controller")
        try:
            self._settings = self.sources.slurm.config()
        except SlurmError as error:
            self.record_failure(slurm_failure("slurm", error))
            return False
        # Read after the answer: a slow controller must not look like one whose clock is wrong.
        self._clock = int(self.sources.clock())
        clock = config_time(self._settings, AS_OF)
        self.now = self._clock if clock is None else clock
        self.has_accounting = has_accounting(self._settings)
        return True

    def accounting_runs_of_rows(
        self, rows: Sequence[BackendRow]
    ) -> Mapping[int, tuple[SlurmRun, ...]] | None:
        """Return accounting's runs of the job ids of cc-backend rows; None: no answer."""
        if not rows:
            return {}
        return self.accounting_runs(
            {row.job_id for row in rows},
            since=min(row.start_time for row in rows) - SLACK_SECONDS,
            starts=map(key_of_row, rows),
        )

    def accounting_runs(
        self, ids: Iterable[int], *, since: int, starts: Iterable[RunId] = ()
    ) -> Mapping[int, tuple[SlurmRun, ...]] | None:
        """Return accounting's runs of some job ids; None if it does not answer.

        `starts` are runs that are known otherwise, for accounting rows without a start time.
        """
        self.sources.on_step("accounting")
        wanted = set(ids)
        try:
            rows = self.sources.slurm.accounting(wanted, since=max(1, since), until=self.now + 1)
        except SlurmError as error:
            self.record_failure(slurm_failure("accounting", error))
            return None
        own = [row for row in rows if row.job_id in wanted]
        return runs_by_job_id(own, starts, self._records_of_requeued(own))

    def _records_of_requeued(self, rows: Iterable[Job]) -> dict[int, Job]:
        """Return the controller's records of jobs with a requeued run; {} if it does not answer.

        Only the text of a plan needs them: the drain finds the end by itself.
        """
        ids = {row.job_id for row in rows if row.state == REQUEUED}
        try:
            found = self.sources.slurm.jobs(ids) if ids else {}
        except SlurmError:
            return {}
        return {i: record for i, record in found.items() if not isinstance(record, SlurmError)}

    def ended_since(
        self, state: SweepState, grace_seconds: float
    ) -> tuple[list[SlurmRun], int | None]:
        """Return the runs that ended since the mark, and the time until which they were read.

        The time is in Unix seconds, None if they were not read, and now if there is no accounting.
        The window overlaps with that of the last sweep, because accounting may be late. It never
        reaches back behind the installation: reporting history needs `cc-sweep backfill`.
        """
        if state.mark is None or not self.has_accounting:
            return [], None if state.mark is None else self.now
        # `min`, because the mark may be in the future after a clock was set back.
        mark = min(state.mark, self.now)
        since = mark - OVERLAP_SECONDS - int(grace_seconds)
        since = max(since, state.installed or 0)
        found: dict[RunId, SlurmRun] = {}
        for begin, end in _parts(since, mark, self.now):
            self.sources.on_step("accounting window")
            try:
                rows = self.sources.slurm.ended(since=begin, until=end)
            except SlurmError as error:
                self.record_failure(slurm_failure("accounting", error))
                return [], None
            jobs = (job for runs in runs_by_job_id(rows).values() for job in runs)
            found |= {job.key: job for job in jobs if is_over(job) and (job.end_time or 0) >= since}
            # Those that cc-backend has count too: it is asked about each of them.
            if len(found) >= MAX_ENDED:
                return list(found.values()), end
        return list(found.values()), self.now

    def backend_rows(self, keys: Sequence[RunId]) -> dict[int, tuple[BackendRow, ...]] | None:
        """Return cc-backend's rows of the runs' job ids, in any state; None if incomplete."""
        rows: defaultdict[int, tuple[BackendRow, ...]] = defaultdict(tuple)
        self.sources.on_step("look-up")
        for cluster in self.sources.clusters if keys else ():
            listing = lookup_runs(self.sources.backend, keys, cluster)
            if listing.rows is None:
                self.record_failure(backend_failure(listing.reply))
                return None
            for row in listing.rows:
                rows[row.job_id] += (row,)
        return dict(rows)

    def recheck(self, jobs: Sequence[SlurmRun]) -> list[SlurmRun]:
        """Query ended runs again by job id and return them: a window cuts resized runs.

        Return nothing if accounting does not answer.
        """
        if not jobs:
            return []
        since = min(job.start_time for job in jobs) - SLACK_SECONDS
        runs = self.accounting_runs({job.job_id for job in jobs}, since=since) or {}
        wanted = {job.key for job in jobs}
        return [run for each in runs.values() for run in each if run.key in wanted and is_over(run)]

    def delivered_of(self, ended: Iterable[SlurmRun], state: SweepState) -> frozenset[RunId]:
        """Return which ended runs were queued by an earlier sweep and are delivered now."""
        queued = state.memory.starts_queued
        return self.sources.find_delivered(run.key for run in ended if run.key in queued)

    @property
    def first_failure(self) -> GuardFinding | None:
        """Return the finding of the first failed query; None if there is none."""
        return next(iter(self._failed.values()), None)

    @property
    def start_refusal(self) -> GuardFinding | None:
        """Return the finding that forbids all starts, for a backfill; None if there is none."""
        findings = check_answers(self.answer_check_input(), has_stops=False)
        return next((finding for finding in findings if finding.voids_starts), None)

    def answer_check_input(self) -> AnswerCheckInput:
        """Return the inputs for the safety checks of the answers."""
        asked = bool(self._settings)
        boot_time = config_time(self._settings, "BOOT_TIME")
        clock = config_time(self._settings, AS_OF)
        is_fresh_boot = is_fresh(boot_time, clock)
        return AnswerCheckInput(
            failed=tuple(self._failed.values()),
            # Without an answer nothing is known about rights: the failed question is a finding
            # already.
            sees_all_jobs=not asked or self.sources.sees_all_jobs(self._settings),
            boot_time=boot_time,
            is_reconfigured=is_fresh_boot and self.sources.was_reconfigured(boot_time or 0),
            controller_clock=clock,
            clock=self._clock,
            cluster=self.sources.slurm.cluster if asked else "",
            known_cluster=self._known_cluster if asked else None,
            foreign_cluster=self._foreign_cluster,
        )

    def empty_observation(self) -> Observation:
        """Return the observation of a sweep that saw nothing."""
        return Observation(
            answers=self.answer_check_input(), now=self.now, has_accounting=self.has_accounting
        )


def _parts(since: int, mark: int, until: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each part of a window; the first one ends after the mark."""
    end = since
    while end < until:
        begin, end = end, min(max(end, mark) + PART_SECONDS, until)
        yield begin, end

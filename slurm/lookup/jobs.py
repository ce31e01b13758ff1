"""Looks some jobs up by the cheapest correct source, and by the next one where that fails.

Which one that is stands in `slurm.release_features`. Text about a job that users may have forged
is given up for JSON about the same job; where there is no JSON, the job is told by its hosts alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from slurm.commands import MAX_LISTING_BYTES, SlurmCommands
from slurm.decode.json_stream import RecordStream
from slurm.decode.scontrol_job import UntrustedTextError, add_job_detail
from slurm.decode.squeue_columns import columns_for, format_option, parse_job_columns
from slurm.decode.squeue_json import parse_job, record_job_id
from slurm.errors import FailureReason, SlurmError, UnknownJob, excerpt
from slurm.job import Job, NodeAllocation
from slurm.lookup.call_budget import CallBudget
from slurm.lookup.geometries import NodeGeometries
from slurm.release_features import QueryMethod, ReleaseFeatures

MIN_SINGLE_SECONDS = 0.010  # at least; on a busy host what single look-ups have taken lately
ASSUMED_LISTING_SECONDS = 0.03  # until one has been measured
SMOOTHING = 0.7  # weight of what single look-ups took before the last one
IDS_PER_CALL = 1000
_UNREADABLE = frozenset({FailureReason.NO_JSON, FailureReason.INCOMPLETE, FailureReason.MALFORMED})
_log = logging.getLogger(__name__)

LookupResult = dict[int, Job | SlurmError]


class FeatureDetector(Protocol):
    """Tells what suits the release."""

    def __call__(self, *, refresh: bool = False) -> ReleaseFeatures:
        """Return it; `refresh`: an answer cannot be read, so the release may be another."""


class _Target(NamedTuple):
    """Where one call of `find` asks."""

    features: ReleaseFeatures
    cluster: str


class JobLookup:
    """Job records by id; for one thread."""

    def __init__(
        self,
        commands: SlurmCommands,
        nodes: NodeGeometries,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commands = commands
        self._geometries = nodes
        self._clock = clock
        self._budget = CallBudget(clock)
        self._listing_seconds = ASSUMED_LISTING_SECONDS
        self._single_seconds = MIN_SINGLE_SECONDS
        self._has_json = True
        self._detail_texts: dict[int, str] = {}
        self.is_rate_limited = False
        """Slurm's rate limit is on."""

    def text(self, job_id: int) -> str | None:
        """Return the text about a job that the last call of `find` has read, if it did."""
        return self._detail_texts.get(job_id)

    def forget(self) -> None:
        """Try everything anew: the commands are others than before."""
        self._has_json = True
        self._geometries.forget()

    def find(
        self,
        wanted: list[int],
        detect: FeatureDetector,
        *,
        cluster: str,
        states_only: Container[int] = (),
    ) -> Mapping[int, Job | SlurmError]:
        """Return the controller's records; an id that it does not know is absent.

        Of jobs in `states_only` cores and GRES are left out where they would cost a process each.

        Raises:
            SlurmError: the controller's answer is unknown.
        """
        self._detail_texts = {}
        features = detect()
        target = _Target(features, cluster)
        single = [
            job_id
            for job_id in wanted
            if features.few_jobs is not QueryMethod.TEXT or job_id not in states_only
        ]
        method = self._choose_method(len(single), features) if self._has_json else QueryMethod.TEXT
        if method is QueryMethod.TEXT:
            return self._by_text(wanted, target, states_only=states_only)
        try:
            found = self._by_json(wanted, method, target=target)
        except SlurmError as error:
            if error.reason not in _UNREADABLE:
                raise
            newer = detect(refresh=True)
            if newer != features:
                return self.find(wanted, detect, cluster=cluster, states_only=states_only)
            self._log_unreadable(error)
            return self._by_text(wanted, target, json=False)
        not_understood = [job_id for job_id, job in found.items() if isinstance(job, SlurmError)]
        if not_understood:
            found |= self._by_text(not_understood, target, json=False)
        return found

    def _choose_method(self, count: int, features: ReleaseFeatures) -> QueryMethod:
        """Choose single look-ups while they cost less than a listing, and Slurm allows so many."""
        if features.few_jobs is features.many_jobs:
            return features.few_jobs
        processes = count + (features.few_jobs is QueryMethod.TEXT)  # and one squeue
        is_costlier = processes * self._single_seconds > self._listing_seconds
        if is_costlier or (self.is_rate_limited and count > self._budget.remaining()):
            return features.many_jobs
        return features.few_jobs

    def _log_unreadable(self, error: SlurmError) -> None:
        _log.warning("squeue's JSON cannot be read, its text is: %s", excerpt(str(error)))
        if error.reason is FailureReason.NO_JSON:
            self._has_json = False

    # JSON

    def _by_json(self, wanted: list[int], method: QueryMethod, *, target: _Target) -> LookupResult:
        argv = [self._commands.squeue, "--local", "-a", "-t", "all", target.features.json_option]
        found: LookupResult = {}
        if method is QueryMethod.JSON_ALL:
            begin = self._clock()
            found = self._read_json(argv, wanted, cluster=target.cluster)
            self._listing_seconds = self._clock() - begin
            return found
        size = 1 if method is QueryMethod.JSON_EACH else IDS_PER_CALL
        for first in range(0, len(wanted), size):
            part = wanted[first : first + size]
            ids = ",".join(map(str, part))
            found |= self._read_json([*argv, "-j", ids], part, cluster=target.cluster)
        return found

    def _read_json(self, argv: list[str], wanted: list[int], *, cluster: str) -> LookupResult:
        """Return the wanted jobs of one answer; of an array or het job the very ids."""
        ids = frozenset(wanted)
        found: LookupResult = {}

        def take(record: Mapping[str, Any]) -> None:
            if record.get("cluster") != cluster:
                message = f"squeue answers for cluster {record.get('cluster')!r}, not {cluster!r}"
                raise SlurmError(message[:300], reason=FailureReason.WRONG_CLUSTER, command=argv)
            job_id = record_job_id(record)
            if job_id in ids:
                found[job_id] = self._job(record)

        stream = RecordStream(take)
        self._budget.spend(1)
        try:
            self._commands.run(argv, limit_bytes=MAX_LISTING_BYTES, sink=stream.feed)
        except UnknownJob:
            return {}
        stream.close()
        return found

    def _job(self, record: Mapping[str, Any]) -> Job | SlurmError:
        try:
            return parse_job(record, node_of=self._geometries.node)
        except ValueError as error:
            message = f"the record of job {record_job_id(record)} cannot be read, {error}"
            return SlurmError(message[:300], reason=FailureReason.MALFORMED)

    # text

    def _by_text(
        self,
        wanted: list[int],
        target: _Target,
        *,
        json: bool = True,
        states_only: Container[int] = (),
    ) -> LookupResult:
        """Return the jobs by text; `json` also where that is suspect, if there is JSON at all."""
        columns = columns_for(target.features)
        found: LookupResult = {}
        untrusted: dict[int, str] = {}
        for first in range(0, len(wanted), IDS_PER_CALL):
            part = wanted[first : first + IDS_PER_CALL]
            argv = [self._commands.squeue, "--local", "-a", "-h", "-t", "all"]
            argv += ["-j", ",".join(map(str, part)), "-O", format_option(columns)]
            self._budget.spend(1)
            try:
                answer = self._commands.run(argv, limit_bytes=MAX_LISTING_BYTES).stdout
            except UnknownJob:
                continue
            parsed = parse_job_columns(answer, columns, cluster=target.cluster)
            found |= {job_id: parsed.rows[job_id] for job_id in part if job_id in parsed.rows}
            untrusted |= parsed.undecided(part)
        found |= {i: _unreadable(i, why) for i, why in untrusted.items()}
        for job in [job for job in found.values() if isinstance(job, Job)]:
            if job.job_id in states_only or not (job.nodes or "COMPLETING" in job.flags):
                continue
            try:
                found[job.job_id] = self._add_detail(job)
            except (UntrustedTextError, UnknownJob) as error:
                untrusted[job.job_id] = str(error)
                found[job.job_id] = _without_resources(job)
        if untrusted and json and self._has_json:
            return found | self._retry_by_json(untrusted, target)
        _warn_untrusted(untrusted)
        return found

    def _add_detail(self, job: Job) -> Job:
        argv = [self._commands.scontrol, "show", "job", _scontrol_id(job), "-d"]
        self._budget.spend(1)
        begin = self._clock()
        stdout = self._commands.run(argv, limit_bytes=MAX_LISTING_BYTES).stdout.decode(
            "utf-8", "replace"
        )
        smoothed = SMOOTHING * self._single_seconds + (1 - SMOOTHING) * (self._clock() - begin)
        self._single_seconds = max(MIN_SINGLE_SECONDS, smoothed)
        self._detail_texts[job.job_id] = stdout
        return add_job_detail(job, stdout, node_of=self._geometries.node)

    def _retry_by_json(self, untrusted: Mapping[int, str], target: _Target) -> LookupResult:
        """Return by JSON the jobs whose text is suspect; what it does not have stays as it is."""
        try:
            found = self._by_json(sorted(untrusted), QueryMethod.JSON_ALL, target=target)
        except SlurmError as error:
            self._log_unreadable(error)
            found = {}
        found = {job_id: job for job_id, job in found.items() if isinstance(job, Job)}
        _warn_untrusted({job_id: why for job_id, why in untrusted.items() if job_id not in found})
        return found


def _scontrol_id(job: Job) -> str:
    """Return how to ask for one job alone: an array's or het job's own id stands for all of it."""
    if job.job_id == job.array_job_id and job.array_task_id is not None:
        return f"{job.array_job_id}_{job.array_task_id}"
    if job.job_id == job.het_job_id and job.het_job_offset is not None:
        return f"{job.het_job_id}+{job.het_job_offset}"
    return str(job.job_id)


def _unreadable(job_id: int, why: str) -> SlurmError:
    message = f"the row of job {job_id} cannot be read, {why}"
    return SlurmError(message[:300], reason=FailureReason.MALFORMED)


def _without_resources(job: Job) -> Job:
    return replace(job, allocations=tuple(NodeAllocation(name=name) for name in job.nodes))


def _warn_untrusted(untrusted: Mapping[int, str]) -> None:
    for job_id, why in untrusted.items():
        _log.warning("job=%d is told without cores and GRES: %s", job_id, excerpt(why))

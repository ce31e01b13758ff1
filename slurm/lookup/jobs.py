"""Looks some jobs up by the cheapest correct source, and by the next one where that fails.

Which one that is stands in `slurm.sources`. Text about a job that users may have forged is given up
for JSON about the same job; where there is no JSON, the job is told by its hosts alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from slurm.ask import LISTING_BYTES, Ask
from slurm.decode.detail_text import SuspectTextError, with_detail
from slurm.decode.job_json import job_of_json
from slurm.decode.lookup_text import columns_of, format_of, looked_up
from slurm.decode.stream import RecordStream
from slurm.errors import Problem, SlurmError, UnknownJob, excerpt
from slurm.job import Job, NodeAllocation
from slurm.lookup.nodes import Nodes
from slurm.lookup.pace import Pace
from slurm.sources import Sources, Way

SINGLE_SECONDS = 0.010  # at least; on a busy host what single look-ups have taken lately
FIRST_LISTING_SECONDS = 0.03  # until one has been measured
MEMORY = 0.7  # weight of what single look-ups took before the last one
IDS_PER_CALL = 1000
_UNREADABLE = frozenset({Problem.NO_JSON, Problem.CUT, Problem.MALFORMED})
_log = logging.getLogger(__name__)

Found = dict[int, Job | SlurmError]


class AskedSources(Protocol):
    """Tells what suits the release."""

    def __call__(self, *, anew: bool = False) -> Sources:
        """Return it; `anew`: an answer cannot be read, so the release may be another."""


class _Place(NamedTuple):
    """Where one call of `find` asks."""

    sources: Sources
    cluster: str


class Lookup:
    """Job records by id; for one thread."""

    def __init__(
        self, ask: Ask, nodes: Nodes, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._nodes = nodes
        self._clock = clock
        self._pace = Pace(clock)
        self._listing_seconds = FIRST_LISTING_SECONDS
        self._single_seconds = SINGLE_SECONDS
        self._has_json = True
        self._texts: dict[int, str] = {}
        self.is_limited = False
        """Slurm's rate limit is on."""

    def text(self, job_id: int) -> str | None:
        """Return the text about a job that the last call of `find` has read, if it did."""
        return self._texts.get(job_id)

    def forget(self) -> None:
        """Try everything anew: the commands are others than before."""
        self._has_json = True
        self._nodes.forget()

    def find(
        self, wanted: list[int], asked: AskedSources, *, cluster: str, briefly: Container[int] = ()
    ) -> Mapping[int, Job | SlurmError]:
        """Return the controller's records; an id that it does not know is absent.

        Of jobs in `briefly` cores and GRES are left out where they would cost a process each.

        Raises:
            SlurmError: the controller's answer is unknown.
        """
        self._texts = {}
        sources = asked()
        place = _Place(sources, cluster)
        single = [
            job_id for job_id in wanted if sources.few is not Way.TEXT or job_id not in briefly
        ]
        way = self._choose(len(single), sources) if self._has_json else Way.TEXT
        if way is Way.TEXT:
            return self._by_text(wanted, place, briefly=briefly)
        try:
            found = self._by_json(wanted, way, place=place)
        except SlurmError as error:
            if error.kind not in _UNREADABLE:
                raise
            newer = asked(anew=True)
            if newer != sources:
                return self.find(wanted, asked, cluster=cluster, briefly=briefly)
            self._note(error)
            return self._by_text(wanted, place, json=False)
        doubtful = [job_id for job_id, job in found.items() if isinstance(job, SlurmError)]
        if doubtful:
            found |= self._by_text(doubtful, place, json=False)
        return found

    def _choose(self, count: int, sources: Sources) -> Way:
        """Choose single look-ups while they cost less than a listing, and Slurm allows so many."""
        if sources.few is sources.many:
            return sources.few
        processes = count + (sources.few is Way.TEXT)  # squeue goes before scontrol for each
        is_dear = processes * self._single_seconds > self._listing_seconds
        if is_dear or (self.is_limited and count > self._pace.left()):
            return sources.many
        return sources.few

    def _note(self, error: SlurmError) -> None:
        _log.warning("squeue's JSON cannot be read, its text is: %s", excerpt(str(error)))
        if error.kind is Problem.NO_JSON:
            self._has_json = False

    # JSON

    def _by_json(self, wanted: list[int], way: Way, *, place: _Place) -> Found:
        argv = [self._ask.squeue, "--local", "-a", "-t", "all", place.sources.json_option]
        found: Found = {}
        if way is Way.JSON_ALL:
            begin = self._clock()
            found = self._read_json(argv, wanted, cluster=place.cluster)
            self._listing_seconds = self._clock() - begin
            return found
        size = 1 if way is Way.JSON_EACH else IDS_PER_CALL
        for first in range(0, len(wanted), size):
            part = wanted[first : first + size]
            ids = ",".join(map(str, part))
            found |= self._read_json([*argv, "-j", ids], part, cluster=place.cluster)
        return found

    def _read_json(self, argv: list[str], wanted: list[int], *, cluster: str) -> Found:
        """Return the wanted jobs of one answer; of an array or het job the very ids."""
        ids = frozenset(wanted)
        found: Found = {}

        def take(record: Mapping[str, Any]) -> None:
            if record.get("cluster") != cluster:
                message = f"squeue answers for cluster {record.get('cluster')!r}, not {cluster!r}"
                raise SlurmError(message[:300], kind=Problem.WRONG_CLUSTER, command=argv)
            if record.get("job_id") in ids:
                found[record["job_id"]] = self._job(record)

        stream = RecordStream(take)
        self._pace.spend(1)
        try:
            self._ask(argv, limit_bytes=LISTING_BYTES, sink=stream.feed)
        except UnknownJob:
            return {}
        stream.close()
        return found

    def _job(self, record: Mapping[str, Any]) -> Job | SlurmError:
        try:
            return job_of_json(record, geometry_of=self._nodes.geometry)
        except ValueError as error:
            message = f"the record of job {record.get('job_id')} is not understood: {error!r}"
            return SlurmError(message[:300], kind=Problem.MALFORMED)

    # text

    def _by_text(
        self,
        wanted: list[int],
        place: _Place,
        *,
        json: bool = True,
        briefly: Container[int] = (),
    ) -> Found:
        """Return the jobs by text; `json` also where that is suspect, if there is JSON at all."""
        columns = columns_of(place.sources)
        found: Found = {}
        for first in range(0, len(wanted), IDS_PER_CALL):
            part = wanted[first : first + IDS_PER_CALL]
            argv = [self._ask.squeue, "--local", "-a", "-h", "-t", "all"]
            argv += ["-j", ",".join(map(str, part)), "-O", format_of(columns)]
            self._pace.spend(1)
            try:
                answer = self._ask(argv, limit_bytes=LISTING_BYTES).stdout
            except UnknownJob:
                continue
            jobs = looked_up(answer, columns, cluster=place.cluster)
            found |= {job_id: jobs[job_id] for job_id in part if job_id in jobs}
        suspect: dict[int, str] = {}
        for job in [job for job in found.values() if isinstance(job, Job)]:
            if job.job_id in briefly or not (job.nodes or "COMPLETING" in job.flags):
                continue
            try:
                found[job.job_id] = self._with_detail(job)
            except (SuspectTextError, UnknownJob) as error:
                suspect[job.job_id] = str(error)
                found[job.job_id] = _hosts_alone(job)
        if suspect and json and self._has_json:
            return found | self._instead(suspect, place)
        _warn(suspect)
        return found

    def _with_detail(self, job: Job) -> Job:
        argv = [self._ask.scontrol, "show", "job", _one_of(job), "-d"]
        self._pace.spend(1)
        begin = self._clock()
        stdout = self._ask(argv, limit_bytes=LISTING_BYTES).stdout.decode("utf-8", "replace")
        lately = MEMORY * self._single_seconds + (1 - MEMORY) * (self._clock() - begin)
        self._single_seconds = max(SINGLE_SECONDS, lately)
        self._texts[job.job_id] = stdout
        return with_detail(job, stdout, geometry_of=self._nodes.geometry)

    def _instead(self, suspect: Mapping[int, str], place: _Place) -> Found:
        """Return by JSON the jobs whose text is suspect; what it does not have stays as it is."""
        try:
            found = self._by_json(sorted(suspect), Way.JSON_ALL, place=place)
        except SlurmError as error:
            self._note(error)
            found = {}
        found = {job_id: job for job_id, job in found.items() if isinstance(job, Job)}
        _warn({job_id: why for job_id, why in suspect.items() if job_id not in found})
        return found


def _one_of(job: Job) -> str:
    """Return how to ask for one job alone: an array's or het job's own id stands for all of it."""
    if job.job_id == job.array_job_id and job.array_task_id is not None:
        return f"{job.array_job_id}_{job.array_task_id}"
    if job.job_id == job.het_job_id and job.het_job_offset is not None:
        return f"{job.het_job_id}+{job.het_job_offset}"
    return str(job.job_id)


def _hosts_alone(job: Job) -> Job:
    return replace(job, allocations=tuple(NodeAllocation(name=name) for name in job.nodes))


def _warn(suspect: Mapping[int, str]) -> None:
    for job_id, why in suspect.items():
        _log.warning("job=%d is told without cores and GRES: %s", job_id, excerpt(why))

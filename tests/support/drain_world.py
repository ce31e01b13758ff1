"""A whole drain on a fake clock: a Slurm and a cc-backend in memory, the spool on real disk.

It is assembled as the real one is; its workers answer at once in the same thread, so a test is a
sequence of plain steps.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Queue
from typing import Any

from ccbackend.job_filters import JobFilters
from ccbackend.metadata import MetadataPolicy
from ccbackend.outcomes import ApiCall, Outcome, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, BackendRow, ClusterList, JobList, Probe, check_duplicate
from ccbackend.site_map import SiteMap
from ccbackend.topology import Cluster
from ccbackend.version import ServerInfo, Version, server_info
from slurm.decode.job_rows import SqueueRow
from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from spool.deliver.compose import PayloadComposer
from spool.drain.assembly import DrainSettings, Externals, assemble
from spool.drain.event_watch import EventWatch
from spool.files import codec
from spool.files.durable_files import WriteBatch
from spool.files.layout import Directory, Layout
from spool.files.node_round import NodeRound
from spool.files.run import Run
from spool.moment import Clocks, Moment
from spool.resolve.job_texts import Texts, TextsQuery, TextsReply
from spool.worker import Worker

NOON = 1_767_225_600


def state_alone(record: Job) -> Job:
    """Return what squeue's columns tell of a job; the rest costs one scontrol a job."""
    return replace(
        record, allocations=(), name=None, comment=None, requested_memory=None, constraints=None
    )


@dataclass
class FakeSlurm:
    """A controller and its accounting: tests write `records` and `rows`."""

    records: dict[int, Job] = field(default_factory=dict)
    rows: list[Job] = field(default_factory=list)
    silent: bool = False
    accounting_silent: bool = False
    looks: int = 0
    lists: int = 0
    has_accounting: bool = True

    def jobs(
        self, ids: Iterable[int], *, states_only: Container[int] = ()
    ) -> Mapping[int, Job | SlurmError]:
        """Return the records of the ids, of some without cores."""
        self.looks += 1
        if self.silent:
            raise SlurmError("squeue does not answer", reason=FailureReason.UNREACHABLE)
        return {
            i: state_alone(self.records[i]) if i in states_only else self.records[i]
            for i in ids
            if i in self.records
        }

    def listing(self) -> Iterable[SqueueRow]:
        """Return what runs; silent: raise."""
        self.lists += 1
        if self.silent:
            raise SlurmError("squeue does not answer", reason=FailureReason.UNREACHABLE)
        return [
            SqueueRow(
                job_id=job.job_id,
                array_job_id=job.job_id,
                state=job.state or "",
                start_time=job.start_time,
                submit_time=job.submit_time,
                partition=job.partition or "",
                user=job.user or "",
                account=job.account or "",
                nodes="",
            )
            for job in self.records.values()
        ]

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return the rows of the ids in a window."""
        if self.accounting_silent:
            raise SlurmError("sacct does not answer", reason=FailureReason.UNREACHABLE)
        wanted = set(ids)
        return tuple(
            row
            for row in self.rows
            if row.job_id in wanted
            and (row.end_time or until) >= since
            and (row.start_time or 0) <= until
        )


@dataclass
class FakeBackend:
    """A cc-backend that keeps rows by (job id, start) and refuses what a real one would."""

    version: Version = field(default_factory=lambda: Version(1, 4, 4))
    rows: dict[tuple[int, int], str] = field(default_factory=dict)
    documents: list[dict[str, Any]] = field(default_factory=list)
    ends: dict[tuple[int, int], int] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    answers: dict[int, Reason] = field(default_factory=dict)
    everything: Reason | None = None
    probe_answer: Reason | None = None
    topology: tuple[Cluster, ...] | None = ()
    is_cached: bool = False
    promises: int = 0
    maybe_sent: list[bool] = field(default_factory=list)
    states: list[str | None] = field(default_factory=list)

    @property
    def server(self) -> ServerInfo:
        """Return the server of its version."""
        return server_info(self.version)

    def start(self, document: dict[str, Any], *, maybe_sent: bool = False) -> ApiReply:
        """Answer a start."""
        self.maybe_sent.append(maybe_sent)
        return self.answer(ApiCall.START, document, self._start)

    def stop(self, document: dict[str, Any], *, state: str | None = None) -> ApiReply:
        """Answer a stop."""
        self.states.append(state)
        return self.answer(ApiCall.STOP, document, self._stop)

    def delete(self, document: dict[str, Any]) -> ApiReply:
        """Answer a delete."""
        return self.answer(ApiCall.DELETE, document, self._delete)

    def edit_meta(self, document: dict[str, Any]) -> ApiReply:
        """Answer a change of metaData."""
        return self.answer(ApiCall.EDIT_META, document, lambda _key, _document: Reason.EDITED)

    def probe(self) -> Probe:
        """Answer the neutral request."""
        self.asked.append(("probe", 0))
        reason = self.everything or self.probe_answer or Reason.LISTED
        reply = ApiReply(call=ApiCall.LISTING, verdict=ReplyVerdict(reason, _text(reason)))
        is_known = reply.outcome is Outcome.DELIVERED
        return Probe(self.server if is_known else ServerInfo(), reply)

    def clusters(self) -> ClusterList:
        """Answer with the topology; None: it cannot be read now."""
        reason = self.everything or (Reason.LISTED if self.topology is not None else Reason.PANIC)
        clusters = None if self.everything else self.topology
        reply = ApiReply(call=ApiCall.CLUSTERS, verdict=ReplyVerdict(reason))
        return ClusterList(reply, clusters)

    def list_runs(self, job_ids: Iterable[int], cluster: str) -> JobList:
        """Answer with the rows of some job ids."""
        self.asked.append(("list", 0))
        reason = self.everything or Reason.LISTED
        wanted = set(job_ids)
        rows = tuple(
            BackendRow(job_id, cluster, start, state, 0)
            for (job_id, start), state in self.rows.items()
            if job_id in wanted and not self.is_cached
        )
        return JobList(ApiReply(call=ApiCall.GRAPHQL, verdict=ReplyVerdict(reason)), rows)

    def answer(
        self,
        call: ApiCall,
        document: dict[str, Any],
        change: Callable[[tuple[int, int], Mapping[str, Any]], Reason],
    ) -> ApiReply:
        """Answer a request for a run."""
        job_id = document["jobId"]
        self.asked.append((str(call), job_id))
        reason = self.everything or self.answers.get(job_id)
        if reason is not None:
            verdict = ReplyVerdict(reason, _text(reason))
        else:
            self.documents.append(dict(document))
            verdict = ReplyVerdict(change((job_id, document["startTime"]), document))
        rows = tuple(
            BackendRow(each, "alex", start, state, 0)
            for (each, start), state in self.rows.items()
            if each == job_id
        )
        is_settled = verdict.outcome is Outcome.CONFLICT
        if is_settled:
            starts = [row.start_time for row in rows]
            verdict = check_duplicate(verdict, starts, document["startTime"])
        return ApiReply(
            call=call, verdict=verdict, document=document, rows=rows if is_settled else None
        )

    def _start(self, key: tuple[int, int], _document: Mapping[str, Any]) -> Reason:
        near = [start for job_id, start in self.rows if job_id == key[0]]
        if any(abs(start - key[1]) < 24 * 3600 for start in near):
            return Reason.DUPLICATE
        if self.promises > 0:
            self.promises -= 1
            return Reason.QUEUED
        self.rows[key] = "running"
        return Reason.CREATED

    def _stop(self, key: tuple[int, int], document: Mapping[str, Any]) -> Reason:
        if key not in self.rows:
            return Reason.UNKNOWN_RUN
        if self.rows[key] != "running":
            return Reason.STOPPED_BEFORE
        self.rows[key] = document["jobState"]
        self.ends[key] = document["stopTime"]
        return Reason.STOPPED

    def _delete(self, key: tuple[int, int], _document: Mapping[str, Any]) -> Reason:
        return Reason.DELETED if self.rows.pop(key, None) else Reason.NOTHING_TO_DELETE


def _text(reason: Reason) -> str:
    return f"made up: {reason.name}"


class ImmediateWorker(Worker[Any, Any]):
    """Answers in the caller's thread, at once; while it `hangs`, not at all."""

    hangs = False

    def ask(self, question: Any) -> None:
        """Answer."""
        self.outstanding += 1
        self.busy_since = self.clock()
        if not self.hangs:
            self.put_answer(question, self.work(question))


class World:
    """One site: Slurm, spool, drain, cc-backend, and the time; `nodes` reports node states."""

    nodes: Callable[[NodeRound], NodeRound] | None = None
    nodes_interval = 0.0

    def __init__(self, root: Path, *, replace_earlier: bool = True) -> None:
        self.root = root
        self.now = float(NOON)
        self.slurm = FakeSlurm()
        self.backend = FakeBackend()
        self.replace_earlier = replace_earlier
        self.filters = JobFilters()
        self.partition_clusters: dict[str, str] = {}
        self.texts: dict[int, tuple[str | None, str | None]] = {}
        self.unreached: set[int] = set()  # job ids whose texts there is no time for
        self.final_texts: dict[int, str] = {}
        self.workers: dict[str, ImmediateWorker] = {}
        self.hold_seconds = 180.0
        self.users: dict[int, str] = {1000: "ada"}
        self.min_free_bytes = 0
        self.batch_type: type[WriteBatch] = WriteBatch
        self.queue_type: type[Queue[Any]] = Queue
        self.inputs_changed: Callable[[], bool] = lambda: False
        self.new_watch: Callable[[Layout, Any], EventWatch | None] = lambda *_: None
        self.slurm_release: str | None = None
        self.tick = 0.0
        for directory in Directory:
            (root / directory).mkdir(exist_ok=True)
        self.pid = 0
        self.skew = 0.0
        self.state = root / "state"
        self.state.mkdir(exist_ok=True)
        self.boot()

    def boot(self) -> None:
        """Start a drain, as after a crash of the one before."""
        layout = Layout(self.root)
        self.composer = composer = PayloadComposer(
            lambda clusters: SiteMap(
                cluster="alex",
                partition_clusters=self.partition_clusters,
                clusters_known=clusters is not None,
            ),
            MetadataPolicy(),
            self.filters,
        )
        settings = DrainSettings(
            state=self.state,
            hold_seconds=self.hold_seconds,
            replace_earlier=self.replace_earlier,
            keep_days=3,
            min_free_bytes=self.min_free_bytes,
            nodes_interval_seconds=self.nodes_interval,
        )
        externals = Externals(
            slurm=lambda: self.slurm,
            backend=lambda: self.backend,
            texts=self._read_texts,
            final_texts=self._read_final_texts,
            inputs_changed=self.inputs_changed,
            slurm_release=lambda: self.slurm_release,
            nodes=self.nodes,
            clocks=Clocks(wall=self.clock, steady=lambda: self.now),
            sleep=lambda _seconds: None,
            random=lambda: 0.5,
            answers=self.queue_type(),
            new_worker=self._new_worker,
            new_batch=self.batch_type,
            new_watch=self.new_watch,
        )
        self.service = assemble(settings, composer, externals, layout=layout)
        self.parts = self.service.parts
        self.drain = self.service.drain
        self.store, self.resolver = self.parts.store, self.parts.resolver
        self.delivery, self.health = self.parts.delivery, self.parts.health

    def clock(self) -> float:
        """Return what the wall clock shows, `tick` later each time that the drain looks."""
        self.now += self.tick
        return self.now + self.skew

    def _read_texts(self, query: TextsQuery) -> TextsReply:
        texts = {
            (job.job_id, job.start_time): Texts(script=found[0], description=found[1])
            for job in query.jobs
            if (found := self.texts.get(job.job_id))
        }
        late = [job for job in query.jobs if job.job_id in self.unreached]
        texts |= {(job.job_id, job.start_time): Texts(is_final=False) for job in late}
        return TextsReply(texts=texts, users={uid: self.users.get(uid) for uid in query.uids})

    def _new_worker(
        self, name: str, work: Callable[[Any], Any], answers: Any, *, clock: Callable[[], float]
    ) -> ImmediateWorker:
        self.workers[name] = ImmediateWorker(name, work, answers, clock=clock)
        return self.workers[name]

    def _read_final_texts(self, jobs: tuple[Job, ...]) -> Mapping[tuple[int, int | None], str]:
        found = {(job.job_id, job.start_time): self.final_texts.get(job.job_id) for job in jobs}
        return {key: text for key, text in found.items() if text is not None}

    @property
    def moment(self) -> Moment:
        """Return this moment by both clocks."""
        return Moment(self.now + self.skew, self.now)

    def job(self, job_id: int, **facts: Any) -> Job:
        """Return a running job's record, begun now."""
        base = Job(
            job_id=job_id,
            user="ada",
            account="p1",
            partition="work",
            state="RUNNING",
            start_time=int(self.now),
            nodes=("n1",),
            cpus=4,
            restart_count=0,
        )
        return replace(base, **facts)

    def hook(
        self, kind: str, job_id: int, *, extras: str = "", start: int = 0, end: int = 0
    ) -> None:
        """Do what a hook does."""
        self.pid += 1
        path = self.root / "new" / f"1-{kind}-{job_id}-{start}-{end}-{self.pid}"
        path.write_text(extras + "end\n")
        os.utime(path, (self.now, self.now))

    def begin(self, job_id: int, **facts: Any) -> Job:
        """Let a job begin in Slurm and its prolog run."""
        self.slurm.records[job_id] = self.job(job_id, **facts)
        self.hook("start", job_id)
        return self.slurm.records[job_id]

    def end(self, job_id: int, state: str = "COMPLETED") -> None:
        """Let a job end in Slurm and its epilog run."""
        old = self.slurm.records[job_id]
        over = replace(old, state=state, end_time=int(self.now))
        self.slurm.records[job_id] = over
        self.slurm.rows.append(over)
        self.hook("stop", job_id)

    def requeue(self, job_id: int) -> None:
        """Let a run end and its job wait for the next."""
        old = self.slurm.records[job_id]
        self.slurm.rows.append(replace(old, state="REQUEUED", end_time=int(self.now)))
        self.slurm.records[job_id] = replace(
            old, state="PENDING", start_time=None, nodes=(), restart_count=1
        )
        self.hook("stop", job_id)

    def run(self, seconds: float = 1.0) -> None:
        """Let the drain work for so long."""
        until = self.now + seconds
        while self.now < until:
            self.drain.step(0.0)
            self.now += min(0.04, max(0.001, seconds / 1000))

    def files(self) -> dict[str, list[str]]:
        """Return the names in the spool, without empty directories."""
        names = {
            d.value: sorted(path.name for path in (self.root / d).iterdir()) for d in Directory
        }
        return {directory: files for directory, files in names.items() if files}

    def stored(self, directory: str, job_id: int) -> Run:
        """Return the one run of a job id in a directory."""
        (path,) = (self.root / directory).glob(f"{job_id}-*.json")
        return codec.decode(path.name, path.read_bytes())

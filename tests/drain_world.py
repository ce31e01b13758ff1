"""A whole drain on a fake clock: a Slurm and a cc-backend in memory, the spool on real disk.

Senders answer at once in the same thread, so a test is a sequence of plain steps.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Queue
from typing import Any

from ccbackend.classify import Outcome, Reason, ReplyVerdict
from ccbackend.filters import JobFilters
from ccbackend.metadata import MetadataPolicy
from ccbackend.replies import check_duplicate
from ccbackend.site_map import SiteMap
from ccbackend.version import ServerInfo, Version, server_info
from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from spool.deliver.backend_health import BackendHealth
from spool.deliver.compose import PayloadComposer
from spool.deliver.delivery import Delivery, DeliveryPolicy
from spool.deliver.run_store import RunStore
from spool.deliver.schedule import RequestKind, Schedule
from spool.deliver.senders import SendRequest, SendResult
from spool.drain.apply_resolutions import ResolutionApplier
from spool.drain.loop import Drain, DrainParts
from spool.drain.recover import recover
from spool.files import codec
from spool.files.archive import DeliveredArchive
from spool.files.durable_files import WriteBatch
from spool.files.layout import Directory, Layout
from spool.files.run import Run
from spool.files.state_files import CrashMarker
from spool.resolve.event_scanner import EventScanner
from spool.resolve.resolver import Resolver

NOON = 1_767_225_600


@dataclass
class FakeSlurm:
    """A controller and its accounting: tests write `records` and `rows`."""

    records: dict[int, Job] = field(default_factory=dict)
    rows: list[Job] = field(default_factory=list)
    silent: bool = False
    accounting_silent: bool = False
    looks: int = 0

    def jobs(
        self, ids: Iterable[int], *, states_only: Container[int] = ()
    ) -> Mapping[int, Job | SlurmError]:
        """Return the records of the ids, of some without cores."""
        self.looks += 1
        if self.silent:
            raise SlurmError("squeue does not answer", reason=FailureReason.UNREACHABLE)
        return {
            i: replace(self.records[i], allocations=()) if i in states_only else self.records[i]
            for i in ids
            if i in self.records
        }

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
    asked: list[tuple[RequestKind, int]] = field(default_factory=list)
    answers: dict[int, Reason] = field(default_factory=dict)
    everything: Reason | None = None
    is_cached: bool = False
    promises: int = 0
    maybe_sent: list[bool] = field(default_factory=list)

    def answer(self, request: SendRequest) -> SendResult:
        """Answer one request."""
        self.asked.append((request.call, request.job_id))
        if request.call is RequestKind.START:
            self.maybe_sent.append(request.maybe_sent)
        verdict = self._verdict(request)
        starts = tuple(start for job_id, start in self.rows if job_id == request.job_id)
        if verdict.outcome is Outcome.CONFLICT:
            verdict = check_duplicate(verdict, starts, request.start_time)
        server: ServerInfo | None = None
        if request.call is RequestKind.PROBE and verdict.outcome is Outcome.DELIVERED:
            server = server_info(self.version)
        listed = frozenset(key for key in self.rows if key[0] in request.job_ids)
        return SendResult(
            request=request,
            verdict=verdict,
            starts=starts,
            server=server,
            listed=frozenset() if self.is_cached else listed,
        )

    def _verdict(self, request: SendRequest) -> ReplyVerdict:
        reason = self.everything or self.answers.get(request.job_id)
        if reason is not None:
            return ReplyVerdict(reason, f"made up: {reason.name}")
        if request.call in {RequestKind.PROBE, RequestKind.LIST}:
            return ReplyVerdict(Reason.LISTED)
        self.documents.append(dict(request.document))
        key = (request.job_id, request.document["startTime"])
        return ReplyVerdict(
            {RequestKind.START: self._start, RequestKind.STOP: self._stop}.get(
                request.call, self._delete
            )(key, request.document)
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


class FakeSender:
    """Answers at once; a request of a failed generation comes back unsent, as from the real one."""

    def __init__(self, backend: FakeBackend, results: Queue[SendResult]) -> None:
        self._backend = backend
        self._results = results
        self._failed_generation = -1
        self.outstanding = 0

    def send(self, request: SendRequest) -> None:
        """Answer."""
        self.outstanding += 1
        if request.generation <= self._failed_generation:
            self._results.put(SendResult(request=request, verdict=None))
            return
        result = self._backend.answer(request)
        if result.verdict and result.verdict.outcome in {Outcome.RETRY, Outcome.HALT}:
            self._failed_generation = max(self._failed_generation, request.generation)
        self._results.put(result)

    def acknowledge(self) -> None:
        """Count a result."""
        self.outstanding -= 1


class World:
    """One site: Slurm, spool, drain, cc-backend, and the time."""

    def __init__(self, root: Path, *, replace_earlier: bool = True) -> None:
        self.root = root
        self.now = float(NOON)
        self.slurm = FakeSlurm()
        self.backend = FakeBackend()
        self.replace_earlier = replace_earlier
        self.filters = JobFilters()
        self.partition_clusters: dict[str, str] = {}
        self.texts: dict[int, tuple[str | None, str | None]] = {}
        self.min_free_bytes = 0
        self.batch_type: type[WriteBatch] = WriteBatch
        for directory in Directory:
            (root / directory).mkdir(exist_ok=True)
        self.pid = 0
        self.boot()

    def boot(self) -> None:
        """Start a drain, as after a crash of the one before."""
        layout = Layout(self.root)
        crash_marker = CrashMarker(self.root / "handling")
        schedule = Schedule()
        archive = DeliveredArchive(self.root / "delivered", keep_days=3)
        self.store = RunStore(layout, schedule, archive, new_batch=self.batch_type)
        self.backend_health = BackendHealth(lambda: 0.5)
        results: Queue[SendResult] = Queue()
        self.composer = PayloadComposer(
            lambda _: SiteMap(cluster="alex", partition_clusters=self.partition_clusters),
            MetadataPolicy(),
            self.filters,
        )
        event_scanner = EventScanner(layout, crash_marker)
        self.resolver = Resolver(self.slurm)
        self.delivery = Delivery(
            self.store,
            self.backend_health,
            self.composer,
            senders=(FakeSender(self.backend, results), FakeSender(self.backend, results)),
            crash_marker=crash_marker,
            policy=DeliveryPolicy(
                hold_seconds=180, replace_earlier=self.replace_earlier, prove_same_job=self._prove
            ),
        )
        applier = ResolutionApplier(
            self.store,
            event_scanner,
            resolver=self.resolver,
            describe=lambda _: self.texts,
            user_name={1000: "ada"}.get,
            clock=lambda: self.now,
        )
        parts = DrainParts(
            layout=layout,
            crash_marker=crash_marker,
            event_scanner=event_scanner,
            resolver=self.resolver,
            applier=applier,
            store=self.store,
            backend_health=self.backend_health,
            delivery=self.delivery,
            results=results,
            min_free_bytes=self.min_free_bytes,
        )
        self.parts = parts
        self.drain = Drain(parts, lambda: self.now)
        self.drain.add_recovered(recover(layout, crash_marker, self.now))

    def _prove(self, run: Run, others: Iterable[int]) -> set[int]:
        return {known.start_time for known in self.store.tracked(run.job_id)} & set(others)

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

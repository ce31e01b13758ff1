"""A complete drain on a fake clock, with Slurm and cc-backend in memory and the spool on disk.

It is assembled like the real drain; its workers answer immediately in the same thread, so a test
is a sequence of plain steps.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import Any

from empty_spool import make_directories
from fake_backend import FakeBackend
from fake_slurm import FakeSlurm

from ccbackend.job_filters import JobFilters
from ccbackend.metadata import MetadataPolicy
from ccbackend.site_map import SiteMap
from slurm.job import Job
from spool.deliver.compose import PayloadComposer
from spool.drain.assembly import assemble
from spool.drain.event_watch import EventWatch
from spool.drain.externals import DrainSettings, Externals
from spool.files import codec
from spool.files.durable_files import WriteBatch
from spool.files.layout import Directory, Layout
from spool.files.node_round import NodeRound
from spool.files.run import Run
from spool.moment import Clocks, Moment
from spool.resolve.job_texts import Texts, TextsQuery, TextsReply
from spool.worker import Worker

NOON = 1_767_225_600
CLOSE_PASSES_SECONDS = 6.0  # of each `run`; after them one pass a second saves CPU time


class ImmediateWorker(Worker[Any, Any]):
    """A worker that answers immediately in the caller's thread; while it `hangs`, not at all."""

    hangs = False

    def ask(self, question: Any) -> None:
        """Take a question and answer it immediately, unless the worker hangs."""
        self.outstanding += 1
        self.busy_since = self.clock()
        if not self.hangs:
            self.put_answer(question, self.work(question))


class World:
    """A site with Slurm, spool, drain, cc-backend and a clock; `nodes` reports node states."""

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
        self.unreached: set[int] = set()  # ids of jobs whose texts cannot be read in time
        self.final_texts: dict[int, str] = {}
        self.workers: dict[str, ImmediateWorker] = {}
        self.hold_seconds = 180.0
        self.users: dict[int, str] = {1000: "ada"}
        self.min_free_bytes = 0
        self.batch_type: Callable[[Layout], WriteBatch] = WriteBatch
        self.queue_type: type[Queue[Any]] = Queue
        self.inputs_changed: Callable[[], bool] = lambda: False
        self.new_watch: Callable[[Layout, Any], EventWatch | None] = lambda *_: None
        self.slurm_release: str | None = None
        self.tick = 0.0
        make_directories(root)
        self.pid = 0
        self.skew = 0.0
        self.state = root / "state"
        self.state.mkdir(exist_ok=True)
        self.boot()

    def boot(self) -> None:
        """Start a new drain, as after a crash of the previous one."""
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
        """Return the wall-clock time; each call advances the clock by `tick`."""
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
        """Return the current time by both clocks."""
        return Moment(self.now + self.skew, self.now)

    def job(self, job_id: int, **facts: Any) -> Job:
        """Return the record of a running job that started now."""
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
        """Write an event as a hook does."""
        self.pid += 1
        path = self.root / "new" / f"1-{kind}-{job_id}-{start}-{end}-{self.pid}"
        path.write_text(extras + "end\n")
        os.utime(path, (self.now, self.now))

    def begin(self, job_id: int, **facts: Any) -> Job:
        """Start a job in Slurm and run its prolog hook."""
        self.slurm.records[job_id] = self.job(job_id, **facts)
        self.hook("start", job_id)
        return self.slurm.records[job_id]

    def end(self, job_id: int, state: str = "COMPLETED") -> None:
        """End a job in Slurm and run its epilog hook."""
        old = self.slurm.records[job_id]
        over = replace(old, state=state, end_time=int(self.now))
        self.slurm.records[job_id] = over
        self.slurm.rows.append(over)
        self.hook("stop", job_id)

    def requeue(self, job_id: int) -> None:
        """End a run by a requeue; the job is pending afterwards."""
        old = self.slurm.records[job_id]
        self.slurm.rows.append(replace(old, state="REQUEUED", end_time=int(self.now)))
        self.slurm.records[job_id] = replace(
            old, state="PENDING", start_time=None, nodes=(), restart_count=1
        )
        self.hook("stop", job_id)

    def run(self, seconds: float = 1.0) -> None:
        """Run the drain for some seconds; after six of them its passes are a second apart."""
        begun = self.now
        while self.now < begun + seconds:
            self.drain.step(0.0)
            is_late = self.now - begun > CLOSE_PASSES_SECONDS
            self.now += 1.0 if is_late else min(0.04, max(0.001, seconds / 1000))

    def files(self) -> dict[str, list[str]]:
        """Return the names of the files in the spool, without empty directories."""
        names = {
            d.value: sorted(path.name for path in (self.root / d).iterdir()) for d in Directory
        }
        return {directory: files for directory, files in names.items() if files}

    def stored(self, directory: str, job_id: int) -> Run:
        """Return the only run of a job id in a directory."""
        (path,) = (self.root / directory).glob(f"{job_id}-*.json")
        return codec.decode(path.name, path.read_bytes())

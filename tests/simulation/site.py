"""The traffic of a site: jobs that begin, end, fail and are requeued, with the events of hooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from simulation.disk import VirtualDisk
from simulation.jobs import (
    FORBIDDEN,
    Submission,
    Traffic,
    expected_document,
    hook_extras,
    new_job,
    new_texts,
    user_name,
)
from simulation.scheduler import Scheduler
from simulation.slurm import VirtualSlurm
from simulation.truth import Run
from slurm.job import Job

TRUTH_SECONDS = 0.035  # from a hook until the controller shows the change
SLOW_HOOK_SHARE, SLOW_HOOK_SECONDS = 0.2, 0.002  # between the open and the write of its file
_ENDS = ("COMPLETED",) * 6 + ("FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL")
_REQUEUES = ("PREEMPTED", "NODE_FAIL", "REQUEUED")


class Site:
    """A generator of jobs: it changes Slurm, writes events and records the truth."""

    def __init__(
        self,
        traffic: Traffic,
        slurm: VirtualSlurm,
        disk: VirtualDisk,
        *,
        scheduler: Scheduler,
        new: Path,
        is_new_backend: bool,
    ) -> None:
        self.traffic = traffic
        self.slurm = slurm
        self.runs: dict[tuple[int, int], Run] = {}
        self.by_event: dict[str, Run] = {}
        self.by_job: dict[int, list[Run]] = {}
        self.on_event: Callable[[], None] = lambda: None
        self.on_run: Callable[[Run], None] = lambda _run: None
        self.on_fate: Callable[[Run], None] = lambda _run: None
        self.on_lost: Callable[[Run], None] = lambda _run: None
        self.say: Callable[[str], None] = lambda _text: None
        self.events_fail = False
        self.replaces_earlier = True
        self._disk = disk
        self._scheduler = scheduler
        self._random = Random(scheduler.random.random())
        self._new = new
        self._is_new_backend = is_new_backend
        self._lost: set[str] = set()
        self._extras: dict[int, str] = {}
        self._pid = 1000
        self._next_job_id = 1000

    # ---- the plan

    def plan(self) -> None:
        """Put all submissions into the schedule: single jobs and arrays that begin at once."""
        random, traffic = self._random, self.traffic
        left = traffic.jobs
        begin = self._scheduler.clock.steady
        while left > 0:
            is_array = random.random() < traffic.array_share
            size = min(left, random.randint(5, 40) if is_array else 1)
            left -= size
            self._plan_tasks(size, begin + random.uniform(1.0, traffic.seconds))

    def _plan_tasks(self, size: int, at: float) -> None:
        owner = self._next_job_id if size > 1 else None
        apart = self._random.choice([0.0, 0.001, 0.02])
        for task in range(size):
            submission = Submission(
                job_id=self._next_job_id, owner=owner, task=task if owner else None
            )
            self._next_job_id += 1
            self._scheduler.at(at + task * apart, partial(self._submit, submission))

    def _submit(self, submission: Submission) -> None:
        job = new_job(submission, self.traffic, self._random, self._wall())
        self.slurm.users[job.uid or 0] = user_name(job)
        self.slurm.texts[job.job_id] = new_texts(job, self.traffic, self._random)
        self.slurm.records[job.job_id] = replace(job, nodes=(), allocations=(), cpus=None)
        self._begin(job)

    # ---- begin and end of a run

    def _begin(self, job: Job) -> None:
        """Start a job: write the prolog's event; a moment later Slurm shows the job."""
        self._extras[job.job_id] = hook_extras(job)
        start = self._wall()
        final = replace(job, state="RUNNING", start_time=start)
        event = self._write("start", job.job_id, start)
        if self._random.random() >= self.traffic.configuring_share:
            self._run(final, event)
            return
        flagged = replace(final, flags=("CONFIGURING",))
        self._scheduler.after(0.02, lambda: self.slurm.set_record(flagged))
        seconds = self._random.uniform(2.0, 60.0)
        self._scheduler.after(
            seconds, lambda: self._run(replace(final, start_time=self._wall()), event)
        )

    def _run(self, job: Job, event: str) -> None:
        """Record a run: from now on it must be reported."""
        random = self._random
        run = self._note_run(job)
        self.on_fate(run)
        self._note_event(event, run)
        self._scheduler.after(
            random.uniform(0.0, TRUTH_SECONDS), lambda: self.slurm.set_record(job)
        )
        lasts = random.choice([1.0, 5.0, 60.0, 600.0, self.traffic.longest])
        self._scheduler.after(max(1.0, lasts * random.random()), lambda: self._end(job, run))

    def _end(self, job: Job, run: Run) -> None:
        """Let a run end; its job may be requeued."""
        random = self._random
        run.was_requeued = random.random() < self.traffic.requeue_share
        state = random.choice(_REQUEUES if run.was_requeued else _ENDS)
        over = replace(job, state=state, end_time=self._wall())
        run.end, run.state, run.end_at = over.end_time, state, self._scheduler.clock.steady
        if run.was_requeued:
            self.slurm.requeue(over, state)
            again = replace(job, restart_count=(job.restart_count or 0) + 1)
            self._scheduler.after(random.uniform(3.0, 90.0), lambda: self._begin(again))
        else:
            self.slurm.set_record(over)
            self._scheduler.after(self.slurm.min_job_age, lambda: self.slurm.forget(job.job_id))
        self._note_event(self._write("stop", job.job_id, run.start, run.end or 0), run)

    # ---- the truth

    def _note_run(self, job: Job) -> Run:
        script = self.slurm.texts[job.job_id].script
        run = Run(
            job_id=job.job_id,
            start=job.start_time or 0,
            document=expected_document(job, is_new_backend=self._is_new_backend),
            script=script,
            start_at=self._scheduler.clock.steady,
            requeued=bool(job.restart_count),
            is_excluded=bool(job.comment),
            is_optional=bool(job.restart_count) and not self.replaces_earlier,
            is_nameless=job.user is None,
            is_forbidden=FORBIDDEN in (script or ""),
            host=job.nodes[0],
        )
        for earlier in self.by_job.setdefault(job.job_id, []):
            earlier.requeued = True
            clock_was_set = run.start <= earlier.start
            earlier.is_optional = earlier.is_optional or self.replaces_earlier or clock_was_set
            run.is_optional = run.is_optional or clock_was_set
        self.by_job[job.job_id].append(run)
        self.runs[run.key] = run
        self.on_run(run)
        return run

    def _note_event(self, event: str, run: Run) -> None:
        self.by_event[event] = run
        if event in self._lost:
            self.on_lost(run)

    # ---- hooks

    def _write(self, kind: str, job_id: int, start: int, end: int = 0) -> str:
        """Write an event as a hook does; an event that cannot be written is lost."""
        named = (start, end) if self.traffic.names_start else (0, 0)
        name = self._name(kind, job_id, *named)
        if self.events_fail:
            self._lost.add(name)
        else:
            self._put(name)
        return name

    def report_again(self, run: Run) -> None:
        """Do what a sweep does for a run that cc-backend lacks: write its events again."""
        now = self._scheduler.clock.steady
        run.start_at = now if run.started_at is None else run.start_at
        run.end_at = now if run.end is not None else run.end_at
        names = [self._name("start", run.job_id, run.start, 0)]
        if run.end is not None:
            names.append(self._name("stop", run.job_id, run.start, run.end))
        for name in names:
            self.by_event[name] = run
            self._put(name)

    def _name(self, kind: str, job_id: int, start: int, end: int) -> str:
        self._pid += 1
        return f"1-{kind}-{job_id}-{start}-{end}-{self._pid}"

    def _put(self, name: str) -> None:
        job_id = int(name.split("-")[2])
        last = self.by_job.get(job_id, [None])[-1]
        is_good = last is None or last.was_requeued or last.state == "COMPLETED"
        code = "exit_code=0:0\n" if is_good else "exit_code=1:0\n"
        contents = f"{self._extras[job_id]}{code}end\n".encode()
        is_slow = self._random.random() < SLOW_HOOK_SHARE
        self._disk.create(self._new, name, b"" if is_slow else contents)
        self.say(f"event {name}")
        self.on_event()
        if is_slow:  # a drain that reads now sees an empty file
            self._scheduler.after(SLOW_HOOK_SECONDS, lambda: self._write_late(name, contents))

    def _write_late(self, name: str, contents: bytes) -> None:
        self._disk.write_late(self._new, name, contents)
        self.on_event()

    def _wall(self) -> int:
        return int(self._scheduler.clock.wall())

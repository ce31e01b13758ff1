"""The traffic of a site: jobs that begin, end, fail and are requeued, with what hooks leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from simulation.disk import VirtualDisk
from simulation.scheduler import Scheduler
from simulation.slurm import VirtualSlurm
from simulation.truth import Run
from slurm.job import Gres, Job, NodeAllocation, Sharing
from spool.resolve.job_texts import Texts

CORES = 8
GPUS = 4
ADDRESSES = tuple(f"00000000:0{index}:00.0" for index in range(GPUS))
HOSTS = [f"a{number:03}" for number in range(1, 41)]
_ENDS = ("COMPLETED",) * 6 + ("FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL")
_SHARED = {"node": "none", "user": "single_user", "shared": "multi_user"}
_OVERSUBSCRIBE = {"node": "NO", "user": "USER", "shared": "OK"}
_EXCLUSIVE = {"node": 1, "user": 2, "shared": 0}


@dataclass(slots=True, kw_only=True)
class Traffic:
    """How much, and of what kind; shares in 0..1, times in seconds."""

    jobs: int = 250
    seconds: float = 3000.0
    longest: float = 1500.0
    array_share: float = 0.3
    requeue_share: float = 0.04
    configuring_share: float = 0.05
    excluded_share: float = 0.02
    nameless_share: float = 0.05
    names_start: bool = True
    lost_event_share: float = 0.0


class Site:
    """Lets jobs happen: changes Slurm, writes events, notes what is true."""

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
        self.runs: dict[tuple[int, int], Run] = {}
        self.by_event: dict[str, Run] = {}
        self.by_job: dict[int, list[Run]] = {}
        self.on_event: Callable[[], None] = lambda: None
        self.on_run: Callable[[Run], None] = lambda _run: None
        self.on_job: Callable[[Run], None] = lambda _run: None
        self.on_lost: Callable[[Run], None] = lambda _run: None
        self.say: Callable[[str], None] = lambda _text: None
        self.events_fail = False
        self.replaces_earlier = True
        self._slurm = slurm
        self._disk = disk
        self._scheduler = scheduler
        self._random = Random(scheduler.random.random())
        self._new = new
        self._is_new_backend = is_new_backend
        self._lost: set[str] = set()
        self._exit_code = "0:0"
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
            at = begin + random.uniform(1.0, traffic.seconds)
            size = min(
                left, random.randint(5, 40) if random.random() < traffic.array_share / 10 else 1
            )
            owner = self._next_job_id if size > 1 else None
            left -= size
            for task in range(size):
                job_id = self._next_job_id
                self._next_job_id += 1
                moment = at + task * random.choice([0.0, 0.001, 0.02])
                self._scheduler.at(moment, partial(self._submit, job_id, owner, task))

    def _submit(self, job_id: int, owner: int | None, task: int) -> None:
        random = self._random
        wide = random.random() < 0.1
        nodes = sorted(random.sample(HOSTS, random.randint(2, 4) if wide else 1))
        whole = wide or random.random() < 0.2
        gpus = random.randint(1, GPUS) if random.random() < 0.3 else 0
        user = random.randint(1, 20)
        job = Job(
            job_id=job_id,
            user=f"user{user}",
            uid=1000 + user,
            account="p1",
            partition="work",
            state="PENDING",
            submit_time=self._wall(),
            time_limit_minutes=60,
            allocations=tuple(_allocation(node, random, gpus, whole=whole) for node in nodes),
            nodes=tuple(nodes),
            sharing=Sharing.NODE if whole else random.choice([Sharing.SHARED, Sharing.USER]),
            name=f"job {job_id}",
            array_job_id=owner,
            array_task_id=task if owner else None,
            restart_count=0,
            admin_comment="disable_cc_submission" if self._chance("excluded_share") else None,
        )
        job = replace(job, cpus=sum(node.cpus or 0 for node in job.allocations))
        if self._chance("nameless_share"):
            job = replace(job, user=None)
        self._slurm.users[1000 + user] = f"user{user}"
        script = None if random.random() < 0.1 else f"#!/bin/sh\nsrun job{job_id}\n"
        self._slurm.texts[job_id] = Texts(script=script, description=f"JobId={job_id}\n")
        self._slurm.records[job_id] = replace(job, nodes=(), allocations=(), cpus=None)
        self._begin(job)

    # ---- the life of a run

    def _begin(self, job: Job) -> None:
        """Let a job get its nodes: the prolog's event, and a moment later Slurm shows it."""
        random = self._random
        array = f"array_job_id={job.array_job_id}\narray_task_id={job.array_task_id}\n"
        array = array if job.array_job_id else ""
        self._extras[job.job_id] = (
            f"nodes={','.join(job.nodes)}\nuser=user{(job.uid or 0) - 1000}\naccount=p1\n"
            f"partition=work\n{array}oversubscribe={_OVERSUBSCRIBE[str(job.sharing)]}\n"
        )
        configuring = random.uniform(2.0, 60.0) if self._chance("configuring_share") else 0.0
        start = self._wall()
        final = replace(job, state="RUNNING", start_time=start)
        event = self._event("start", job.job_id, start)
        if configuring:
            flagged = replace(final, flags=("CONFIGURING",))
            self._scheduler.after(0.02, lambda: self._slurm.set_record(flagged))
            self._scheduler.after(configuring, lambda: self._run(final, event, moves=True))
        else:
            self._run(final, event, moves=False)

    def _run(self, job: Job, event: str, *, moves: bool) -> None:
        """Let a run be there: from here on it must be reported."""
        if moves:
            job = replace(job, start_time=self._wall())
        run = self._truth(job)
        run.events.add(event)
        self.by_event[event] = run
        self.on_job(run)
        if event in self._lost:
            self.on_lost(run)
        self._scheduler.after(self._random.uniform(0.0, 0.035), lambda: self._slurm.set_record(job))
        lasts = self._random.choice([1.0, 5.0, 60.0, 600.0, self.traffic.longest])
        self._scheduler.after(max(1.0, lasts * self._random.random()), lambda: self._end(job, run))

    def _end(self, job: Job, run: Run) -> None:
        """Let a run end; its job may be requeued."""
        random = self._random
        requeue = self._chance("requeue_share")
        state = (
            random.choice(["PREEMPTED", "NODE_FAIL", "REQUEUED"])
            if requeue
            else random.choice(_ENDS)
        )
        over = replace(job, state=state, end_time=self._wall())
        run.end, run.state, run.end_at = over.end_time, state, self._scheduler.clock.steady
        run.was_requeued = requeue
        if requeue:
            self._slurm.requeue(over, state)
            again = replace(job, restart_count=(job.restart_count or 0) + 1)
            self._scheduler.after(random.uniform(3.0, 90.0), lambda: self._begin(again))
        else:
            self._slurm.set_record(over)
            self._scheduler.after(self._slurm.min_job_age, lambda: self._slurm.forget(job.job_id))
        self._exit_code = "0:0" if requeue or state == "COMPLETED" else "1:0"
        event = self._event("stop", job.job_id, run.start, run.end or 0)
        run.events.add(event)
        self.by_event[event] = run
        if event in self._lost:
            self.on_lost(run)

    def _truth(self, job: Job) -> Run:
        run = Run(
            job_id=job.job_id,
            start=job.start_time or 0,
            document=self._document(job),
            script=self._slurm.texts[job.job_id].script,
            start_at=self._scheduler.clock.steady,
            requeued=bool(job.restart_count),
            is_excluded=bool(job.admin_comment),
            is_optional=bool(job.restart_count) and not self.replaces_earlier,
            is_nameless=job.user is None,
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

    def _document(self, job: Job) -> dict[str, Any]:
        """Return what cc-backend must be told, computed independently of the program."""
        word = str(job.sharing)
        sharing = (
            {"shared": _SHARED[word]} if self._is_new_backend else {"exclusive": _EXCLUSIVE[word]}
        )
        resources = []
        for node in job.allocations:
            cores = node.cores or ()
            gres = [index for each in node.gres or () for index in each.indices or ()]
            resource: dict[str, Any] = {"hostname": node.name}
            resource["hwthreads"] = sorted([*cores, *(core + CORES for core in cores)])
            if gres:
                resource["accelerators"] = [ADDRESSES[index] for index in gres]
            resources.append(resource)
        return {
            "jobId": job.job_id,
            "startTime": job.start_time,
            "user": f"user{(job.uid or 1000) - 1000}",
            "project": "p1",
            "partition": "work",
            "numNodes": len(job.nodes),
            "walltime": 3600,
            "resources": resources,
            **sharing,
        }

    # ---- hooks

    def _event(self, kind: str, job_id: int, start: int, end: int = 0) -> str:
        """Write an event as a hook does; one that cannot be written, or is lost, is gone."""
        self._pid += 1
        named = (start, end) if self.traffic.names_start else (0, 0)
        name = f"1-{kind}-{job_id}-{named[0]}-{named[1]}-{self._pid}"
        if self.events_fail or self._chance("lost_event_share"):
            self._lost.add(name)
        else:
            self.write_event(name)
        return name

    def write_event(self, name: str) -> None:
        """Put an event into `new/`."""
        extras = self._extras.get(int(name.split("-")[2]), "")
        self._disk.create(self._new, name, f"{extras}exit_code={self._exit_code}\nend\n".encode())
        self.say(f"event {name}")
        self.on_event()

    def report_again(self, run: Run) -> None:
        """Do what a sweep does for a run that cc-backend lacks: write its events again."""
        self._pid += 1
        now = self._scheduler.clock.steady
        run.start_at = now if run.started_at is None else run.start_at
        run.end_at = now if run.end is not None else run.end_at
        start = f"1-start-{run.job_id}-{run.start}-0-{self._pid}"
        self.by_event[start] = run
        self.write_event(start)
        if run.end is not None:
            stop = f"1-stop-{run.job_id}-{run.start}-{run.end}-{self._pid}"
            self.by_event[stop] = run
            self.write_event(stop)

    @property
    def min_job_age(self) -> float:
        """Return how long the controller remembers a job that is over."""
        return self._slurm.min_job_age

    @property
    def accounting_delay(self) -> float:
        """Return how late accounting's rows may be."""
        return self._slurm.accounting_delay

    def _wall(self) -> int:
        return int(self._scheduler.clock.wall())

    def _chance(self, name: str) -> bool:
        share: float = getattr(self.traffic, name)
        return self._random.random() < share


def _allocation(node: str, random: Random, gpus: int, *, whole: bool) -> NodeAllocation:
    cores = (
        range(CORES) if whole else sorted(random.sample(range(CORES), random.randint(1, CORES - 1)))
    )
    indices = tuple(sorted(random.sample(range(GPUS), gpus)))
    gres = (Gres(name="gpu", count=gpus, indices=indices),) if gpus else ()
    return NodeAllocation(
        name=node, cores=tuple(cores), core_count=CORES, cpus=2 * len(cores), gres=gres
    )

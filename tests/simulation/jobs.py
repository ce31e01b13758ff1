"""Jobs of the simulated site, and, computed independently, what cc-backend must get of them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from slurm.job import Gres, Job, NodeAllocation, Sharing
from spool.resolve.job_texts import Texts

CORES = 8
GPUS = 4
ADDRESSES = tuple(f"00000000:0{index}:00.0" for index in range(GPUS))
HOSTS = [f"a{number:03}" for number in range(1, 41)]
FIRST_UID = 1000
FORBIDDEN = "FORBIDDEN"  # a firewall in front of cc-backend rejects this word
_SHARED = {"node": "none", "user": "single_user", "shared": "multi_user"}
_EXCLUSIVE = {"node": 1, "user": 2, "shared": 0}
_OVERSUBSCRIBE = {"node": "NO", "user": "USER", "shared": "OK"}


@dataclass(slots=True, kw_only=True)
class Traffic:
    """The number and kinds of jobs; shares in 0..1, times in seconds."""

    jobs: int = 250
    seconds: float = 3000.0
    longest: float = 1500.0
    array_share: float = 0.03
    requeue_share: float = 0.04
    configuring_share: float = 0.05
    excluded_share: float = 0.02
    nameless_share: float = 0.05
    forbidden_share: float = 0.0
    names_start: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job id; of an array also the array's id and the task."""

    job_id: int
    owner: int | None
    task: int | None


def new_job(submission: Submission, traffic: Traffic, random: Random, now: int) -> Job:
    """Return a job as the controller shows a running one, except for times and state."""
    is_wide = random.random() < 0.1
    nodes = sorted(random.sample(HOSTS, random.randint(2, 4) if is_wide else 1))
    is_whole = is_wide or random.random() < 0.2
    gpus = random.randint(1, GPUS) if random.random() < 0.3 else 0
    allocations = tuple(_allocation(node, random, gpus, is_whole=is_whole) for node in nodes)
    user = random.randint(1, 20)
    return Job(
        job_id=submission.job_id,
        user=None if random.random() < traffic.nameless_share else f"user{user}",
        uid=FIRST_UID + user,
        account="p1",
        partition="work",
        state="PENDING",
        submit_time=now,
        time_limit_minutes=60,
        allocations=allocations,
        cpus=sum(node.cpus or 0 for node in allocations),
        nodes=tuple(nodes),
        sharing=Sharing.NODE if is_whole else random.choice([Sharing.SHARED, Sharing.USER]),
        name=f"job {submission.job_id}",
        array_job_id=submission.owner,
        array_task_id=submission.task,
        restart_count=0,
        comment="disable_cc_submission" if random.random() < traffic.excluded_share else None,
    )


def _allocation(node: str, random: Random, gpus: int, *, is_whole: bool) -> NodeAllocation:
    held = random.sample(range(CORES), CORES if is_whole else random.randint(1, CORES - 1))
    indices = tuple(sorted(random.sample(range(GPUS), gpus)))
    gres = (Gres(name="gpu", count=gpus, indices=indices),) if gpus else ()
    cores = tuple(sorted(held))
    return NodeAllocation(name=node, cores=cores, core_count=CORES, cpus=2 * len(cores), gres=gres)


def new_texts(job: Job, traffic: Traffic, random: Random) -> Texts:
    """Return script and description of a job; some jobs have no script."""
    word = FORBIDDEN if random.random() < traffic.forbidden_share else "srun"
    script = None if random.random() < 0.1 else f"#!/bin/sh\n{word} job{job.job_id}\n"
    return Texts(script=script, description=f"JobId={job.job_id}\n")


def expected_document(job: Job, *, is_new_backend: bool) -> dict[str, Any]:
    """Return the start that cc-backend must get for a run, without its metadata."""
    word = str(job.sharing)
    document: dict[str, Any] = {
        "jobId": job.job_id,
        "startTime": job.start_time,
        "user": user_name(job),
        "project": "p1",
        "partition": "work",
        "numNodes": len(job.nodes),
        "walltime": 3600,
        "resources": [_resource(node) for node in job.allocations],
    }
    if job.array_job_id:
        document["arrayJobId"] = job.array_job_id
    if is_new_backend:
        return document | {"shared": _SHARED[word]}
    return document | {"exclusive": _EXCLUSIVE[word]}


def _resource(node: NodeAllocation) -> dict[str, Any]:
    """Return a host: core c has the hardware threads c and c + CORES."""
    cores = node.cores or ()
    threads = sorted([*cores, *(core + CORES for core in cores)])
    indices = [index for gres in node.gres or () for index in gres.indices or ()]
    resource: dict[str, Any] = {"hostname": node.name, "hwthreads": threads}
    if indices:
        resource["accelerators"] = [ADDRESSES[index] for index in indices]
    return resource


def user_name(job: Job) -> str:
    """Return the name that the name service has for a job's user."""
    return f"user{(job.uid or FIRST_UID) - FIRST_UID}"


def hook_extras(job: Job) -> str:
    """Return the lines that a hook writes from slurmctld's variables about a job."""
    words = {
        "nodes": ",".join(job.nodes),
        "user": user_name(job),
        "account": "p1",
        "partition": "work",
        "oversubscribe": _OVERSUBSCRIBE[str(job.sharing)],
    }
    if job.array_job_id:
        words |= {"array_job_id": str(job.array_job_id), "array_task_id": str(job.array_task_id)}
    return "".join(f"{name}={value}\n" for name, value in words.items())

"""Compare the sources of one recorded situation, and describe each job in one readable line."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from recorded_hooks import hook_job
from recorded_slurm import (
    Situation,
    hook_calls,
    json_jobs,
    sacct_runs,
    sacct_text_runs,
    situations,
    text_jobs,
)

from slurm.job import Job, NodeAllocation
from spool.files.event import parse_event_name, parse_extras

FIELDS = tuple(item.name for item in fields(Job) if item.name != "allocations")
HOOKS = Path(__file__).parents[2] / "hooks"
PER_NODE = ("cores", "core_count", "cpus", "gres")


@dataclass(slots=True)
class Sight:
    """One job at one moment: for each field the values of all sources that have it."""

    values: dict[str, dict[str, object]] = field(default_factory=dict)

    def add(self, source: str, job: Job) -> None:
        """Add the values of one source."""
        for name in FIELDS:
            value = getattr(job, name)
            if value is not None and value != ():
                self.values.setdefault(name, {})[source] = value
        for allocation in job.allocations:
            for name in PER_NODE:
                value = getattr(allocation, name)
                if value is not None:
                    place = f"{allocation.name}.{name}"
                    self.values.setdefault(place, {})[source] = value

    def disagreements(self) -> list[str]:
        """Return the fields for which sources have different values."""
        return [
            f"{name}: {dict(found)!r}"
            for name, found in sorted(self.values.items())
            if len({repr(value) for value in found.values()}) > 1
        ]

    def compared(self) -> int:
        """Return how many values were compared with the value of another source."""
        return sum(len(found) - 1 for found in self.values.values())

    def job(self) -> Job:
        """Return the job from all sources; where values differ, the first one."""
        first: dict[str, Any] = {
            name: next(iter(found.values())) for name, found in self.values.items()
        }
        allocations = []
        nodes = first.get("nodes", ())
        assert isinstance(nodes, tuple)
        for node in nodes:
            known = {
                name: first[f"{node}.{name}"] for name in PER_NODE if f"{node}.{name}" in first
            }
            allocations.append(NodeAllocation(name=node, **known))
        facts = {name: value for name, value in first.items() if name in FIELDS}
        return Job(allocations=tuple(allocations), **facts)


def controller_sights(situation: Situation, moment: str) -> dict[int, Sight]:
    """Return the sources of the controller's commands at a moment, by job id."""
    sources: dict[str, Mapping[int, object]] = {}
    for kind in ("squeue", "squeue-all", "scontrol"):
        document = situation.file(kind, moment, "json")
        if document is not None:
            sources[f"{kind} JSON"] = json_jobs(document)
    sources["text"] = text_jobs(situation, moment)
    sights: dict[int, Sight] = {}
    for source, jobs in sources.items():
        for job_id, job in jobs.items():
            if isinstance(job, Job):
                sights.setdefault(job_id, Sight()).add(source, job)
    return sights


def accounting_sights(situation: Situation, moment: str) -> dict[tuple[int, int], Sight]:
    """Return the sources of accounting at a moment, by job id and submit time."""
    sights: dict[tuple[int, int], Sight] = {}
    for kind in ("sacct-duplicates", "sacct"):
        for ending, read in (("json", sacct_runs), ("txt", sacct_text_runs)):
            document = situation.file(kind, moment, ending)
            if document is not None and moment not in {"prolog", "epilog"}:
                for run in read(document):
                    key = (run.job_id, run.submit_time or 0)
                    sights.setdefault(key, Sight()).add(f"{kind} {ending}", run)
    return sights


def describe(job: Job) -> str:
    """Return a job in one line, without ids and times.

    `name who/account/partition STATE+FLAGS limit cpus gpus sharing nodes:cores:gres ...`; a dash is
    an unknown value.
    """
    name = (job.name or "-").split("\n")[0].replace(" ", "_")
    if job.array_job_id is not None:
        name += f"_{'-' if job.array_task_id is None else job.array_task_id}"
    if job.het_job_id is not None:
        name += f"+{job.het_job_offset}"
    words = [
        name,
        f"{job.user}/{job.account}/{job.partition}",
        "+".join((job.state or "?", *job.flags)),
        f"limit={_or_dash(job.time_limit_minutes)}",
        f"cpus={_or_dash(job.cpus)}",
        *([f"gpus={job.gpus}"] if job.gpus is not None else []),
        *([str(job.sharing)] if job.sharing and not job.exit_code else []),  # accounting: 26.05
        *([f"restarts={job.restart_count}"] if job.restart_count else []),
        *([f"admin={job.admin_comment}"] if job.admin_comment else []),
        *([f"exit={job.exit_code}"] if job.exit_code else []),
        *_nodes(job),
    ]
    return " ".join(words)


def _nodes(job: Job) -> Iterable[str]:
    if not job.allocations:
        return job.nodes
    return [_node(allocation) for allocation in job.allocations]


def _node(allocation: NodeAllocation) -> str:
    gres = ",".join(
        f"{piece.name}{':' + piece.type if piece.type else ''}*{piece.count}"
        f"[{'-' if piece.indices is None else _ranges(piece.indices)}]"
        for piece in allocation.gres or ()
    )
    cores = "-" if allocation.cores is None else _ranges(allocation.cores)
    return f"{allocation.name}:{cores}{':' + gres if gres else ''}"


def _ranges(numbers: tuple[int, ...]) -> str:
    """Return `0-2,5` for 0, 1, 2, 5."""
    parts = []
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ",".join(parts)


def _or_dash(value: object) -> object:
    return "-" if value is None else value


LATE = "accounting learns of the start between two calls"
EXPLAINED = (
    # situation, moment, "run" for accounting only or "both" with the controller, field, reason
    (r"21.08-many-states", "", "run", "name|state", LATE),
    (r"22.05-many-states", "", "run", "state", LATE),
    (r"(21.08|22.05)-preempted-cancelled", "", "run", "name|state", LATE),
    (r"23.11-hint-nomultithread", "", "run", "state", "the job ended between two calls"),
    (r"23.11-hint-nomultithread", "", "both", "state", "the job ended between two calls"),
    (r"(21.08|22.05)-(block-sockets|core-index-.*|gpu-two-nodes)", "", "both", "name|state", LATE),
    (r"(21.08|22.05|23.02)-(two-sockets|uneven-multinode)", "", "both", "name|state", LATE),
    (r"(22.05|24.05)-many-states", "", "both", "name|state", LATE),
    (r"24.05-preempted-cancelled", "", "both", "state", LATE),
    (r".*-resized", ".*", "both", "state|nodes|cpus|end_time", "the row before the resize"),
    (
        r".*-(hint-nomultithread|threads-per-core-1)",
        "",
        "hook",
        "cpus",
        "the hook is told the CPUs that the job may use, one of each core",
    ),
    (r".*-node-fail(-requeue)?", "", "hook", "exit_code", "a failed node is a signal to the hook"),
    (r".*-resized", "", "hook", "nodes|cpus", "its end saw fewer nodes than its start"),
    (r".*-special-chars", ".*", "both", "name", 'accounting writes a back-quote for "'),
)

RECORDED = [situation for situation in situations() if situation.moments()]

controller = cache(controller_sights)
accounting = cache(accounting_sights)


def sights_of(situation: Situation) -> Iterator[Sight]:
    """Yield every job and run at every moment."""
    for moment in situation.moments():
        yield from controller(situation, moment).values()
        yield from accounting(situation, moment).values()


def unexplained(situation: Situation, moment: str, kind: str, found: list[str]) -> list[str]:
    """Return the differences that are not covered by a row of EXPLAINED."""
    return [
        difference
        for difference in found
        if not any(
            re.fullmatch(pattern, str(situation))
            and re.fullmatch(when, moment)
            and kind == where
            and re.fullmatch(names, difference.split(":")[0])
            for pattern, when, where, names, _ in EXPLAINED
        )
    ]


def shared_runs(situation: Situation, moment: str) -> Iterator[tuple[Job, Job]]:
    """Yield the jobs of controller and accounting for each run that both have."""
    known = controller(situation, moment)
    for (job_id, submit), sight in accounting(situation, moment).items():
        if job_id in known and known[job_id].job().submit_time == submit:
            yield known[job_id].job(), sight.job()


def differences(one: Job, other: Job) -> list[str]:
    """Return the fields that both jobs have with different values."""
    unknown: tuple[object, ...] = (None, ())
    pairs = ((name, getattr(one, name), getattr(other, name)) for name in FIELDS)
    return [
        f"{name}: {first!r} and {second!r}"
        for name, first, second in pairs
        if first not in unknown and second not in unknown and first != second
    ]


def hook_jobs(situation: Situation, spool: Path) -> Iterator[Job]:
    """Yield what the hooks wrote about each of their recorded calls."""
    (spool / "new").mkdir()
    for kind, job_id, variables in hook_calls(situation):
        environment = {**variables, "CC_SLURM_SYNC_SPOOL": str(spool)}
        subprocess.run(["sh", HOOKS / f"{kind}_slurmctld"], env=environment, check=True)
        (path,) = (spool / "new").iterdir()
        event = parse_event_name(path.name, time=0.0, extras=parse_extras(path.read_bytes()))
        path.unlink()
        assert job_id == event.job_id
        yield hook_job(event.extras, job_id, start=event.start, end=event.end)


def is_same_run(job: Job, record: Job) -> bool:
    """Return whether a record shows the run of a hook call as it was at its start."""
    if record.job_id != job.job_id or not record.nodes or record.state == "RESIZING":
        return False
    if job.start_time is None or record.start_time is None:
        return not record.restart_count
    return abs(job.start_time - record.start_time) <= 1

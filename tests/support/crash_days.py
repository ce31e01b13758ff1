"""Scenarios for the crash harness: the files of a spool before, and the expected outcome."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from stub_server import Answer, refusal

from slurm.job import Job
from spool.files.run import End, EndSource, LastError, Run

NOW = int(time.time())


class Outcome(NamedTuple):
    """The outcome of a scenario.

    `rows` are the states of cc-backend's rows, `accepted` the accepted changes in order, by
    job id; the same change twice is a run delivered twice. `files` are the names in the spool.
    """

    rows: dict[tuple[int, int], str]
    accepted: dict[int, list[tuple[str, int]]]
    files: dict[str, list[str]]


@dataclass
class Day:
    """A scenario: a spool in the middle of a day, and the expected outcome."""

    records: list[Job] = field(default_factory=list)
    rows: list[Job] = field(default_factory=list)
    events: list[tuple[str, int]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    dead: list[Run] = field(default_factory=list)
    dead_letters: list[str] = field(default_factory=list)
    kept: list[Run] = field(default_factory=list)
    poison: dict[int, Answer] = field(default_factory=dict)
    stored: dict[tuple[int, int], str] = field(default_factory=dict)
    expected: dict[tuple[int, int], str] = field(default_factory=dict)
    accepted: dict[int, list[tuple[str, int]]] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """Return the expected outcome."""
        return Outcome(self.expected, self.accepted, self.files)


def job(job_id: int, start: int, *, end: int | None = None, **facts: Any) -> Job:
    """Return the Slurm record of a run."""
    state = "RUNNING" if end is None else "COMPLETED"
    base = Job(
        job_id=job_id,
        cluster="lab",
        user="ada",
        account="p1",
        partition="main",
        state=state,
        start_time=start,
        end_time=end,
        nodes=("n1",),
        cpus=2,
        restart_count=0,
    )
    return replace(base, **facts)


def run(record: Job, *, started: bool, end: int | None = None) -> Run:
    """Return a run as stored in the spool."""
    return Run(
        job=replace(record, state="RUNNING", end_time=None),
        start_time=record.start_time or 0,
        started=(record.start_time or 0) + 1 if started else None,
        cluster="lab" if started else None,
        end=None if end is None else End(time=end, state="COMPLETED", source=EndSource.CONTROLLER),
    )


def busy_day() -> Day:
    """Return a day on which each job is a different case."""
    day = Day()
    t = NOW - 1000
    day.poison = {4: refusal(400, "made up"), 8: Answer(500, "")}  # permanent, temporary
    day.records = [
        job(1, t),
        job(2, t, end=t + 60),
        job(3, t, end=t),
        job(4, t),
        job(5, t + 200, restart_count=1),
    ]
    first = job(5, t, end=t + 60)
    day.rows = [job(2, t, end=t + 60), job(3, t, end=t), replace(first, state="REQUEUED")]
    day.events = [
        ("1-start-1-0-0-1", t),
        ("1-stop-2-0-0-2", t + 60),
        ("1-start-3-0-0-3", t),
        ("1-stop-3-0-0-4", t),
        ("1-start-4-0-0-5", t),
        ("1-stop-5-0-0-6", t + 60),
        ("1-start-5-0-0-7", t + 200),
    ]
    day.runs = [
        run(job(2, t), started=True),
        run(job(5, t), started=True),
        run(job(6, t), started=False, end=t + 60),
        run(job(7, t), started=True, end=t + 60),
        run(job(8, t), started=False, end=t + 60),
    ]
    day.stored = dict.fromkeys([(2, t), (5, t), (7, t)], "running")
    over = dict.fromkeys([(2, t), (3, t), (6, t), (7, t)], "completed")
    day.expected = over | {(1, t): "running", (5, t + 200): "running"}
    start, stop, delete = "start", "stop", "delete"
    day.accepted = {
        1: [(start, t)],
        2: [(stop, t)],
        3: [(start, t), (stop, t)],
        5: [(stop, t), (delete, t), (start, t + 200)],
        6: [(start, t), (stop, t)],
        7: [(stop, t)],
    }
    day.files = {"open": [f"1-{t}.json", f"5-{t + 200}.json"], "dead": [f"4-{t}.json"]}
    day.files["todo"] = [f"8-{t}.json"]
    return day


def recovery_day() -> Day:
    """Return a day on which an administrator requeues dead letters or replays kept runs."""
    t = NOW - 1000
    day = Day(records=[job(1, t), job(4, t)])
    error = LastError(time=t, call="start", outcome="rejected", reason="bad", message="made up")
    dead_letter = replace(run(job(4, t), started=False), last_error=error, attempts=3)
    over = run(job(9, t), started=False, end=t + 60)
    day.events = [("1-start-1-0-0-1", t)]
    day.dead_letters = [name for name, _ in day.events]
    day.dead = [dead_letter, replace(over, last_error=error)]
    day.kept = [run(job(6, t), started=True, end=t + 60), run(job(7, t), started=True, end=t + 60)]
    return day


def retried() -> Day:
    """Return the expected outcome of `retry ALL`."""
    day, t = recovery_day(), NOW - 1000
    day.expected = {(1, t): "running", (4, t): "running", (9, t): "completed"}
    day.accepted = {1: [("start", t)], 4: [("start", t)], 9: [("start", t), ("stop", t)]}
    day.files = {"open": [f"1-{t}.json", f"4-{t}.json"]}
    return day


def replayed() -> Day:
    """Return the expected outcome of `replay` after the database lost the delivered runs."""
    day, t = recovery_day(), NOW - 1000
    day.expected = {(6, t): "completed", (7, t): "completed"}
    day.accepted = {number: [("start", t), ("stop", t)] for number in (6, 7)}
    day.files = {
        "dead": ["1-start-1-0-0-1", "1-start-1-0-0-1.why", f"4-{t}.json", f"9-{t}.json"],
    }
    return day


def discarded() -> Day:
    """Return the expected outcome of `discard ALL`: a mark stays for a running run."""
    day, t = recovery_day(), NOW - 1000
    day.files = {"open": [f"4-{t}.json"]}
    return day

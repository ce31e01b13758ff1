"""Death at every system call: nothing is lost, nothing told twice, nothing stuck.

Each point is a child that is killed before or after its n-th call on spool or network, with or
without a power cut, and one recovery run after it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from stub_server import Model, StubServer, refusal

from slurm.job import Job
from spool.files import codec
from spool.files.layout import Directory
from spool.files.run import End, Run, Source

HERE = Path(__file__).parent
NOW = int(time.time())
STEP = int(os.environ.get("CRASH_STEP", "2"))


@dataclass
class Day:
    """A spool in the middle of a day, and what must come of it."""

    records: list[Job] = field(default_factory=list)
    rows: list[Job] = field(default_factory=list)
    events: list[tuple[str, int]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    stored: dict[tuple[int, int], str] = field(default_factory=dict)
    expected: dict[tuple[int, int], str] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)


def job(job_id: int, start: int, *, end: int | None = None, **facts: Any) -> Job:
    """Return the record of a run."""
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
    """Return a run in the spool."""
    return Run(
        job=replace(record, state="RUNNING", end_time=None),
        start_time=record.start_time or 0,
        started=(record.start_time or 0) + 1 if started else None,
        cluster="lab" if started else None,
        end=None if end is None else End(time=end, state="COMPLETED", source=Source.CONTROLLER),
    )


def busy_day() -> Day:
    """Return a day with everything at once: each job is another case."""
    day = Day()
    t = NOW - 1000
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
    ]
    day.stored = dict.fromkeys([(2, t), (5, t), (7, t)], "running")
    over = dict.fromkeys([(2, t), (3, t), (6, t), (7, t)], "completed")
    day.expected = over | {(1, t): "running", (5, t + 200): "running"}
    day.files = {"open": [f"1-{t}.json", f"5-{t + 200}.json"], "dead": [f"4-{t}.json"]}
    return day


class Crashes:
    """Runs children on fresh copies of a day."""

    def __init__(self, root: Path, server: StubServer, child: subprocess.Popen[str]) -> None:
        self._root = root
        self._server = server
        self._child = child
        self._count = 0

    def order(self, root: Path, **more: Any) -> dict[str, Any]:
        """Have one child work; return its status and number of calls."""
        order = {
            "root": str(root),
            "url": self._server.url,
            "token": "TOKEN:api",
            "cluster": "lab",
            "scenario": "drain",
            "number": None,
            "after": False,
            "power_cut": False,
        }
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(json.dumps(order | more) + "\n")
        self._child.stdin.flush()
        answer: dict[str, Any] = json.loads(self._child.stdout.readline())
        return answer

    def lay_out(self, day: Day) -> Path:
        """Make a spool, a Slurm and a cc-backend as they are in the middle of a day."""
        self._count += 1
        root = self._root / str(self._count)
        for directory in Directory:
            (root / "spool" / directory).mkdir(parents=True)
        (root / "state").mkdir()
        for name, moment in day.events:
            path = root / "spool" / "new" / name
            path.touch()
            os.utime(path, (moment, moment))
        for stored in day.runs:
            path = root / "spool" / stored.directory / stored.name
            path.write_bytes(codec.encode(stored))
        truth = {"records": map(_plain, day.records), "rows": map(_plain, day.rows)}
        (root / "slurm.json").write_text(json.dumps({k: list(v) for k, v in truth.items()}))
        model = Model(version="1.4.4", poison={4: refusal(400, "made up")})
        for number, ((job_id, start), state) in enumerate(day.stored.items()):
            model.job[job_id, "lab", start] = {"id": 900 + number, "jobState": state}
        self._server.model = model
        return root

    def outcome(self, root: Path) -> tuple[dict[tuple[int, int], str], dict[str, list[str]]]:
        """Return the server's rows and the spool's files but for leftovers in tmp/."""
        names = {
            directory: sorted(path.name for path in (root / "spool" / directory).iterdir())
            for directory in ("new", "todo", "open", "dead")
        }
        return self._server.rows(), {k: v for k, v in names.items() if v}

    def failures(
        self, day: Day, *, after: bool, power_cut: bool, broken: str | None = None, step: int = 1
    ) -> tuple[int, list[str]]:
        """Kill at every `step`-th call; return how many points, and what went wrong."""
        calls = self.order(self.lay_out(day), broken=broken)["calls"]
        wrong = []
        points = range(1, calls + 1, step)
        for number in points:
            root = self.lay_out(day)
            how = {"after": after, "power_cut": power_cut, "broken": broken}
            self.order(root, number=number, **how)
            status = self.order(root, broken=broken)["status"]
            if (status, self.outcome(root)) != (0, (day.expected, day.files)):
                wrong.append(f"call {number}: status {status}, {self.outcome(root)}")
        return len(points), wrong


def _plain(record: Job) -> dict[str, Any]:
    names = [name for name in Job.__dataclass_fields__ if getattr(record, name) not in (None, ())]
    return {name: getattr(record, name) for name in names}


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crashes]:
    """Return a maker of crashes with a server of its own."""
    path = f"{HERE}{os.pathsep}{HERE.parent}"
    with StubServer() as server:
        child = subprocess.Popen(
            [sys.executable, str(HERE / "crash_child.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        with child:
            yield Crashes(tmp_path_factory.mktemp("crash"), server, child)
            child.kill()


def test_a_day_without_a_crash_ends_as_it_must(crashes: Crashes) -> None:
    """The scenario itself is sound."""
    day = busy_day()
    root = crashes.lay_out(day)

    status = crashes.order(root)["status"]

    assert (0, (day.expected, day.files)) == (status, crashes.outcome(root))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("power_cut", [False, True])
def test_death_at_any_call_loses_and_doubles_nothing(
    crashes: Crashes, *, after: bool, power_cut: bool
) -> None:
    """One recovery run brings every row and every file to where it belongs."""
    points, wrong = crashes.failures(busy_day(), after=after, power_cut=power_cut, step=STEP)

    assert [] == wrong
    assert points >= 150 // STEP


@pytest.mark.parametrize(("broken", "power_cut"), [("removes first", False), ("never syncs", True)])
def test_a_broken_order_of_writing_is_caught(
    crashes: Crashes, broken: str, *, power_cut: bool
) -> None:
    """The harness sees what it is there to see."""
    _, wrong = crashes.failures(busy_day(), after=True, power_cut=power_cut, broken=broken, step=5)

    assert wrong

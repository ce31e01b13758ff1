"""Kill a drain or a command at every system call: nothing is lost, delivered twice or stuck.

Each case kills a child before or after its n-th call on spool or network, with or without a power
cut, and then makes one recovery run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from crash_days import NOW, Day, Outcome, busy_day, discarded, replayed, retried
from empty_spool import make_directories
from stub_server import Model, StubServer

from slurm.job import Job
from spool.files import codec
from spool.files.dead_letter_reason import DeadLetterReason
from spool.files.dead_letters import move_file_to_dead
from spool.files.layout import Directory, Layout

HERE = Path(__file__).parent
STEP = int(os.environ.get("CRASH_STEP", "2"))
LANES = 8
AGAIN = ("broken", "scenario", "words")


LOST: dict[str, Any] = {
    "directory": Directory.NEW,
    "time": NOW,
    "reason": "unknown to Slurm",
    "hint": "look at slurmctld's log",
}
CALLS = {
    "/api/jobs/start_job/": "start",
    "/api/jobs/stop_job/": "stop",
    "/api/jobs/delete_job/": "delete",
}


class Lane:
    """A worker that runs children on fresh copies of a scenario, one after another."""

    def __init__(self, root: Path) -> None:
        path = f"{HERE / 'support'}{os.pathsep}{HERE.parent}"
        self._root = root
        self._server = StubServer()
        self._count = 0
        self._child = subprocess.Popen(
            [sys.executable, str(HERE / "support" / "crash_child.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )

    def order(self, root: Path, **more: Any) -> dict[str, Any]:
        """Have one child do one piece of work; return its status and number of calls."""
        order: dict[str, Any] = {
            "root": str(root),
            "url": self._server.url,
            "token": "TOKEN:api",
            "cluster": "lab",
            "scenario": "drain",
            "words": [],
            "broken": None,
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
        make_directories(root / "spool")
        (root / "state").mkdir()
        for name, moment in day.events:
            path = root / "spool" / "new" / name
            path.write_text("end\n")
            os.utime(path, (moment, moment))
        for stored in day.runs:
            path = root / "spool" / stored.directory / stored.name
            path.write_bytes(codec.encode(stored))
        for dead_letter in day.dead:
            (root / "spool" / "dead" / dead_letter.name).write_bytes(codec.encode(dead_letter))
        for kept in day.kept:
            (root / "kept").mkdir(exist_ok=True)
            (root / "kept" / kept.name).write_bytes(codec.encode(kept))
        with Layout(root / "spool") as layout:
            for name in day.dead_letters:
                move_file_to_dead(layout, DeadLetterReason(name=name, **LOST))
        truth = {"records": map(_plain, day.records), "rows": map(_plain, day.rows)}
        (root / "slurm.json").write_text(json.dumps({k: list(v) for k, v in truth.items()}))
        model = Model(version="1.4.4", poison=day.poison)
        for number, ((job_id, start), state) in enumerate(day.stored.items()):
            model.job[job_id, "lab", start] = {"id": 900 + number, "jobState": state}
        self._server.close()  # a request of a killed child must not change the rows of the next one
        self._server = StubServer(model).__enter__()
        return root

    def close(self) -> None:
        """End the children and the last server."""
        with self._child:
            self._child.kill()
        self._server.close()

    def outcome(self, root: Path) -> Outcome:
        """Return the server's rows, what it accepted, and the spool's files except tmp/."""
        names = {
            directory: sorted(path.name for path in (root / "spool" / directory).iterdir())
            for directory in ("new", "todo", "open", "dead")
        }
        accepted: dict[int, list[tuple[str, int]]] = {}
        for exchange in self._server.log:
            if exchange.path in CALLS and exchange.status in {200, 201}:
                reported = json.loads(exchange.body)
                call = (CALLS[exchange.path], reported["startTime"])
                accepted.setdefault(reported["jobId"], []).append(call)
        return Outcome(self._server.rows(), accepted, {k: v for k, v in names.items() if v})

    def death(self, day: Day, number: int, **how: Any) -> str | None:
        """Kill at one call; return what is wrong after a recovery run.

        The killed command or drain is run once more, and after a command a drain.
        """
        again = {key: how[key] for key in AGAIN if key in how}
        root = self.lay_out(day)
        self.order(root, number=number, **how)
        status = self.order(root, **again)["status"]
        if "scenario" in how:
            status = status or self.order(root)["status"]
        found, wanted = self.outcome(root), day.outcome
        wrong = [f"status {status}"] if status else []
        wrong += [f"{a} is not {b}" for a, b in zip(found, wanted, strict=True) if a != b]
        return f"call {number}: {'; '.join(wrong)}" if wrong else None


class Crashes:
    """Lanes side by side, because a child spends most of its time waiting for a retry."""

    def __init__(self, root: Path) -> None:
        self.lanes = [Lane(root / str(number)) for number in range(LANES)]

    def deaths(self, day: Day, *, step: int = 1, **how: Any) -> Iterator[str | None]:
        """Kill at every `step`-th call; yield for each what is wrong after a recovery run."""
        again = {key: how[key] for key in AGAIN if key in how}
        first = self.lanes[0]
        calls = first.order(first.lay_out(day), **again)["calls"]
        numbers = list(reversed(range(1, calls + 1, step)))  # most calls that write come late
        with ThreadPoolExecutor(LANES) as pool:
            for place in range(0, len(numbers), LANES):
                group = numbers[place : place + LANES]
                yield from pool.map(
                    lambda lane, number: lane.death(day, number, **how), self.lanes, group
                )

    def close(self) -> None:
        """End all lanes."""
        for lane in self.lanes:
            lane.close()


def _plain(record: Job) -> dict[str, Any]:
    names = [name for name in Job.__dataclass_fields__ if getattr(record, name) not in (None, ())]
    return {name: getattr(record, name) for name in names}


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crashes]:
    """Return the lanes that kill children."""
    made = Crashes(tmp_path_factory.mktemp("crash"))
    yield made
    made.close()


def test_a_day_without_a_crash_has_the_expected_outcome(crashes: Crashes) -> None:
    """Without a kill one drain gives the rows and files that the crash tests expect."""
    day = busy_day()
    lane = crashes.lanes[0]
    root = lane.lay_out(day)

    status = lane.order(root)["status"]

    assert (0, day.outcome) == (status, lane.outcome(root))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("power_cut", [False, True])
def test_a_drain_killed_at_any_call_loses_and_duplicates_nothing(
    crashes: Crashes, capsys: pytest.CaptureFixture[str], *, after: bool, power_cut: bool
) -> None:
    """The next drain puts every row and every file in the right place, in order."""
    # before and after each odd call covers every moment: before an even call is after an odd one
    how: dict[str, Any] = {"after": after, "power_cut": power_cut}
    points = list(crashes.deaths(busy_day(), step=STEP, **how))
    with capsys.disabled():
        print(f"\nkilled at {len(points)} calls of a drain ({after=}, {power_cut=})")

    assert {None} == set(points)
    assert len(points) >= 150 // STEP


BROKEN = [
    ("removes first", False),
    ("removes events first", False),
    ("writes in place", False),
    ("forgets events when read", False),
    ("acknowledges when sent", False),
    ("syncs nothing", True),
    ("syncs no file", True),
    ("syncs no directory", True),
]


@pytest.mark.parametrize(("broken", "power_cut"), BROKEN)
def test_a_deliberately_broken_drain_is_caught(
    crashes: Crashes, broken: str, *, power_cut: bool
) -> None:
    """The crash tests fail in at least one of three tries, as some faults depend on timing."""
    how: dict[str, Any] = {"power_cut": power_cut, "broken": broken}
    tries = (True, False, True)

    assert any(loss for after in tries for loss in crashes.deaths(busy_day(), after=after, **how))


COMMANDS = {
    "retry": (retried, ["ALL"]),
    "replay": (replayed, ["ROOT/kept"]),
    "discard": (discarded, ["ALL", "--yes"]),
}


@pytest.mark.parametrize("power_cut", [False, True])
@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_a_command_killed_at_any_call_loses_and_duplicates_nothing(
    crashes: Crashes, capsys: pytest.CaptureFixture[str], verb: str, *, power_cut: bool
) -> None:
    """After the same command and a drain have run, every run is in the right place."""
    day, words = COMMANDS[verb]
    how: dict[str, Any] = {"scenario": verb, "words": words, "power_cut": power_cut}
    points = list(crashes.deaths(day(), step=STEP, **how))
    points += crashes.deaths(day(), step=STEP, after=True, **how)
    with capsys.disabled():
        print(f"\nkilled at {len(points)} calls of {verb} ({power_cut=})")

    assert {None} == set(points)


@pytest.mark.parametrize(
    ("broken", "power_cut"), [("takes letters away first", False), ("puts without fsync", True)]
)
def test_a_deliberately_broken_command_is_caught(
    crashes: Crashes, broken: str, *, power_cut: bool
) -> None:
    """The crash tests fail for a `retry` that removes dead letters first or omits fsync."""
    day, words = COMMANDS["retry"]
    how: dict[str, Any] = {"scenario": "retry", "words": words, "broken": broken}

    assert any(crashes.deaths(day(), after=True, power_cut=power_cut, **how))

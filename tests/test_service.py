"""A drain that runs for ever or once: its housekeeping and its end, on a fake clock."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from drain_world import NOON, World

from ccbackend.outcomes import Reason
from slurm.job import NodeAllocation
from spool.drain.event_watch import EventWatch, new_descriptor
from spool.drain.loop import IDLE_SECONDS
from spool.drain.service import WATCHED_SECONDS
from spool.files.archive import DeliveredArchive
from spool.files.drain_state import DrainState, HealthState, read_drain_state
from spool.files.layout import Directory

DAY = 24 * 3600


class PatientQueue(Queue[Any]):
    """A queue whose waiting takes no time."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002 - as in `queue.Queue`
        """Return what is there."""
        del block, timeout
        return super().get(block=False)


@dataclass
class Site:
    """A world with its service; each look at the clock takes a while."""

    world: World
    passes: int = 0
    watched: Callable[[int], bool] = lambda _: False
    ended: list[str] = field(default_factory=list)
    ends: bool = True

    def __post_init__(self) -> None:
        """Count passes, and the ends of one worker."""
        self.world.queue_type = PatientQueue
        self.world.inputs_changed = self.watch
        self.boot()
        self.world.tick = 0.04

    def boot(self) -> None:
        """Start another drain, and note how one of its workers is ended."""
        self.world.boot()
        worker: Any = self.world.parts.controller
        worker.close = lambda: self.ended.append("close")
        worker.join = self.join

    def join(self, timeout_seconds: float) -> bool:
        """Stand for a thread; `ends` False: it hangs in a request."""
        assert timeout_seconds > 0
        self.ended.append("join")
        return self.ends

    def watch(self) -> bool:
        """Count passes; say what the test wants."""
        self.passes += 1
        return self.watched(self.passes)

    def settle(self, seconds: float = 1.0) -> None:
        """Let the drain alone work for a while."""
        before, self.world.tick = self.world.tick, 0.0
        self.world.run(seconds)
        self.world.tick = before

    def run(self, passes: int) -> None:
        """Run for ever, but for so many passes."""
        wanted = self.watched

        def watch(number: int) -> bool:
            if number >= passes:
                self.world.service.stop()
            return wanted(number)

        self.watched = watch
        self.world.service.run()

    def state(self) -> DrainState:
        """Return what other commands see."""
        state = read_drain_state(self.world.state / "drain.json")
        assert state is not None
        return state


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a site with nothing in it."""
    return Site(World(tmp_path))


def test_a_drain_that_must_poll_says_why(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its passes are close together then; with a watch they are a second apart."""

    def refuse(_path: bytes) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    def longest_wait(new_descriptor: Callable[[bytes], int]) -> float:
        world, waits = site.world, list[float]()
        world.new_watch = lambda layout, queue: EventWatch(
            layout, queue, new_descriptor=new_descriptor
        )
        site.boot()
        step = world.drain.step

        def note(wait: float) -> None:
            waits.append(wait)
            step(wait)

        monkeypatch.setattr(world.drain, "step", note)
        site.passes = 0
        site.run(3)
        world.service.close()
        return waits[-1]

    polling = longest_wait(refuse), site.state().polling_reason
    watching = longest_wait(new_descriptor), site.state().polling_reason

    assert ((IDLE_SECONDS, "Too many open files"), (WATCHED_SECONDS, "")) == (polling, watching)


def test_once_delivers_what_is_there_and_ends(site: Site) -> None:
    """Nothing waits any more."""
    site.world.begin(1)
    site.world.begin(2)
    site.world.end(2)

    assert site.world.service.run_once()
    assert {1: "running", 2: "completed"} == {
        job_id: state for (job_id, _), state in site.world.backend.rows.items()
    }
    assert ["close", "join"] == site.ended


def test_once_says_that_something_waits(site: Site) -> None:
    """cc-backend is down: three probes, then it gives up."""
    start = site.world.begin(1).start_time
    site.world.backend.everything = Reason.UNREACHABLE

    assert not site.world.service.run_once()
    assert [("probe", 0)] * 3 == site.world.backend.asked
    assert HealthState.DOWN is site.state().health.state
    assert {"todo": [f"1-{start}.json"]} == site.world.files()


def test_once_gives_up_a_halted_server_at_once(site: Site) -> None:
    """Only an administrator can change that."""
    site.world.begin(1)
    site.world.backend.everything = Reason.TOKEN_REFUSED

    assert not site.world.service.run_once()
    assert 1 == len(site.world.backend.asked)


def test_once_gives_up_when_nothing_moves_for_half_a_minute(site: Site) -> None:
    """A request has no answer yet."""
    site.world.begin(1)
    site.world.tick = 1.0
    for worker in site.world.parts.backend.starts.workers:
        worker.outstanding = 1
    before = site.world.now

    assert not site.world.service.run_once()
    assert 30 <= site.world.now - before < 60


def test_once_takes_its_time_for_a_backlog(site: Site) -> None:
    """More than half a minute, as long as it goes on."""
    for job_id in range(1, 200):
        site.world.begin(job_id)
    site.world.tick = 0.0
    before = site.world.now

    def later(_number: int) -> bool:
        site.world.now += 2
        return False

    site.watched = later
    assert site.world.service.run_once()
    assert 199 == len(site.world.backend.rows)
    assert site.world.now - before > 30


def test_once_waits_for_what_is_due_within_a_second(site: Site) -> None:
    """A start waits for the server's topology, which is asked for beside it."""
    site.world.begin(1, allocations=(NodeAllocation(name="n1", cores=(0, 1), core_count=8),))

    assert site.world.service.run_once()
    assert [1] == [job_id for job_id, _ in site.world.backend.rows]


def test_once_can_be_stopped(site: Site) -> None:
    """What waits stays."""
    site.world.begin(1)
    site.world.service.stop()

    assert not site.world.service.run_once()
    assert [] == site.world.backend.asked


def test_the_state_of_a_short_run_is_written_at_its_end(site: Site) -> None:
    """A drain started by cron ends within a second; what it has seen must not be lost."""
    site.world.tick = 0.001
    site.world.begin(1)
    site.world.service.run_once()
    state = site.state()

    assert (True, float(NOON), os.getpid()) == (state.once, state.last_event, state.pid)
    assert state.last_delivery is not None
    assert 1 <= state.deliveries_last_hour


def test_a_service_works_until_it_is_stopped(site: Site) -> None:
    """What is known is durable then."""
    start = site.world.begin(1).start_time
    site.run(passes=20)

    assert {"open": [f"1-{start}.json"]} == site.world.files()
    assert ["close", "join"] == site.ended


def test_a_request_that_hangs_is_abandoned_at_the_end(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """It will be sent again."""
    site.ends = False
    site.run(passes=1)

    assert ["controller: a request was unfinished at shutdown; the next drain sends it again"] == [
        record.message for record in caplog.records if record.levelno == logging.WARNING
    ]


def test_an_answer_that_comes_at_the_end_is_taken(site: Site) -> None:
    """What was accepted is not sent again by the next drain."""
    start = site.world.begin(1).start_time
    site.settle(0.1)
    site.run(passes=1)
    site.boot()
    site.run(passes=30)

    assert {"open": [f"1-{start}.json"]} == site.world.files()
    assert 1 == site.world.backend.asked.count(("start", 1))


def test_a_change_of_the_token_allows_a_probe_at_once(site: Site) -> None:
    """The halt ends without a restart and within a pass or two."""
    site.world.begin(1)
    site.world.backend.everything = Reason.TOKEN_REFUSED
    health = []

    def watched(number: int) -> bool:
        health.append(site.world.health.state.server.health.value)
        if number == 30:
            site.world.backend.everything = None
            return True
        return False

    site.watched = watched
    site.run(passes=60)

    assert ("halted", "up") == (health[29], health[59])
    assert ["running"] == list(site.world.backend.rows.values())


def test_open_runs_that_do_not_run_in_slurm_are_looked_up(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Their epilogs never ran; proof is needed as ever."""
    caplog.set_level(logging.INFO)
    for job_id in (1, 2, 3):
        site.world.begin(job_id)
    site.settle()
    record = site.world.slurm.records[1]
    over = replace(record, state="COMPLETED", end_time=NOON + 1)
    site.world.slurm.records[1] = over
    del site.world.slurm.records[3]
    site.boot()
    site.run(passes=60)

    assert {1: "completed", 2: "running", 3: "running"} == {
        job_id: state for (job_id, _), state in site.world.backend.rows.items()
    }
    assert "open runs not in Slurm's job list, to be looked up: 2" in caplog.text


def test_an_empty_spool_needs_no_job_list(site: Site) -> None:
    """Slurm is left alone."""
    site.run(passes=5)

    assert 0 == site.world.slurm.lists


@pytest.mark.parametrize(("seconds", "passes", "lists"), [(600, 13, 3), (30, 5, 1)])
def test_open_runs_are_compared_hourly(site: Site, seconds: int, passes: int, lists: int) -> None:
    """And at the start."""
    site.world.begin(1)
    site.settle()
    site.boot()

    def later(_number: int) -> bool:
        site.world.now += seconds
        return False

    site.watched = later
    site.run(passes=passes)

    assert lists == site.world.slurm.lists


def test_a_job_list_that_fails_is_asked_for_again_soon(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """After a minute."""
    site.world.begin(1)
    site.settle()
    site.boot()
    site.world.slurm.silent = True

    def later(_number: int) -> bool:
        site.world.now += 30
        return False

    site.watched = later
    site.run(passes=9)

    assert 3 == site.world.slurm.lists
    expected = "open runs cannot be compared with Slurm's job list: squeue does not answer"
    assert expected in caplog.text


def test_a_job_list_that_nobody_was_asked_for_is_asked_for_again_soon(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that is closed gives its questions back."""
    site.world.begin(1)
    site.settle()
    site.boot()
    worker: Any = site.world.parts.controller
    worker.work = lambda _question: None
    site.settle()

    assert "cannot be compared with Slurm's job list: not asked" in caplog.text


def test_the_state_shows_what_the_drain_believes(site: Site) -> None:
    """Before the first request and at the end."""
    site.world.begin(1)
    shown = []

    def watched(_number: int) -> bool:
        shown.append(site.state().server_version)
        return False

    site.watched = watched
    site.run(passes=9)
    last = site.state()

    assert (None, "1.4.4") == (shown[0], last.server_version)
    assert (HealthState.UP, False, (), False) == (
        last.health.state,
        last.disk_full,
        last.waiting,
        last.once,
    )


def test_a_service_that_hands_over_says_nothing_of_stopping(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Systemd would kill its successor in the same process."""
    said: list[str] = []
    monkeypatch.setattr("spool.drain.service.notify_systemd", said.append)
    monkeypatch.setattr("spool.drain.systemd.notify_systemd", said.append)

    def watched(_: int) -> bool:
        site.world.service.hand_over()
        return False

    site.watched = watched
    site.world.service.run()

    assert ["READY=1", "WATCHDOG=1"] == said


def test_a_service_says_that_it_stops(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its last requests are waited for."""
    said: list[str] = []
    monkeypatch.setattr("spool.drain.service.notify_systemd", said.append)
    site.run(passes=1)

    assert ["READY=1", "STOPPING=1"] == said


def test_each_hour_old_copies_and_leftovers_are_removed(site: Site) -> None:
    """What lies in the archive for three days, and in `tmp/` for an hour."""
    archive = DeliveredArchive(site.world.state / "delivered", keep_days=3)
    site.world.begin(1)
    site.world.end(1)
    site.settle()
    leftover = site.world.root / Directory.TMP / "half-written"
    leftover.touch()
    for path in (leftover, *(site.world.state / "delivered").iterdir()):
        os.utime(path, (NOON, NOON))

    def later(number: int) -> bool:
        site.world.now += 4 * DAY if number == 5 else 0
        return False

    before = list(archive.recent_runs())
    site.watched = later
    site.run(passes=10)

    assert (1, []) == (len(before), list(archive.recent_runs()))
    assert not leftover.exists()


@pytest.mark.parametrize(
    ("kind", "extras", "is_seen"),
    [
        ("start", "user=ada\n", True),
        ("stop", "", True),
        ("start", "again=1\n", False),
        ("start", f"not_before={NOON}\n", False),
        ("close", "", False),
        ("retry", "", False),
    ],
)
def test_only_events_of_hooks_count_as_the_last_one(
    site: Site, kind: str, extras: str, *, is_seen: bool
) -> None:
    """What a sweep or an administrator writes does not show that hooks work."""
    start = NOON if kind == "close" else 0
    site.world.hook(kind, 1, extras=extras, start=start, end=start)
    site.run(passes=2)

    assert (float(NOON) if is_seen else None) == site.state().last_event


def test_the_last_event_is_remembered_by_the_next_drain(site: Site) -> None:
    """One that is started by cron must be able to warn."""
    site.world.begin(1)
    site.run(passes=5)
    site.world.now += DAY
    site.boot()
    site.world.service.run_once()

    assert NOON == site.state().last_event


@pytest.mark.parametrize(
    ("content", "seen"),
    [("{", None), ("{}", None), (f'{{"last_event": {NOON + DAY}}}', float(NOON))],
)
def test_a_last_event_that_cannot_be_believed_is_not_taken_over(
    site: Site, content: str, seen: float | None
) -> None:
    """A damaged file, one without it, and one from a clock that has been set back since."""
    site.world.tick = 0.0
    (site.world.state / "drain.json").write_text(content)
    site.boot()

    assert seen == site.world.drain.last_event


def test_an_event_from_the_future_counts_as_of_now(site: Site) -> None:
    """Else it would hide for a day that no event comes any more."""
    site.world.hook("start", 1)
    path = site.world.root / "new" / "1-start-1-0-0-1"
    os.utime(path, (NOON + DAY, NOON + DAY))
    site.run(passes=2)
    seen = site.state().last_event

    assert seen is not None
    assert NOON <= seen < NOON + 60


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ("{", None),
        ("{}", None),
        (f'{{"last_delivery": {NOON - DAY}}}', float(NOON - DAY)),
        (f'{{"last_delivery": {NOON + DAY}}}', float(NOON)),
    ],
)
def test_the_last_delivery_is_remembered_by_the_next_drain(
    site: Site, content: str, seen: float | None
) -> None:
    """A restart does not make it unknown; an instant of the future counts as now."""
    site.world.tick = 0.0
    (site.world.state / "drain.json").write_text(content)
    site.boot()
    site.run(passes=1)

    assert seen == site.state().last_delivery


def test_slurms_release_is_in_the_state(site: Site) -> None:
    """As its commands print it; not known before they were asked."""
    before = site.world.slurm_release
    site.world.slurm_release = "25.11.0"
    site.boot()
    site.run(passes=1)

    assert (None, "25.11.0") == (before, site.state().slurm_release)

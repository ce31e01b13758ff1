"""A drain that runs for ever or once: its housekeeping and its end, on a fake clock."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from drain_world import NOON, World
from spool.drain.state_writer import DrainStateWriter

from ccbackend.classify import Reason
from slurm.errors import FailureReason, SlurmError
from spool.drain.service import Service, ServiceParts
from spool.files.archive import DeliveredArchive


@dataclass(frozen=True)
class Line:
    """One line of Slurm's listing."""

    job_id: int
    start_time: int | None
    is_live: bool = True


@dataclass
class Thread:
    """A sender's thread that does nothing; `ends` False: it hangs in a request."""

    ends: bool = True
    words: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Note it."""
        self.words.append("start")

    def close(self) -> None:
        """Note it."""
        self.words.append("close")

    def join(self, timeout_seconds: float) -> bool:
        """Note it."""
        assert timeout_seconds > 0
        self.words.append("join")
        return self.ends


@dataclass
class Site:
    """A world with a service; each look at the clock takes a while."""

    world: World
    state: Path
    listed: list[Line] = field(default_factory=list)
    silent: bool = False
    listings: int = 0
    passes: int = 0
    watched: Callable[[int], bool] = lambda _: False
    thread: Thread = field(default_factory=Thread)
    tick: float = 0.04

    def clock(self) -> float:
        """Return the time, a little later each time."""
        self.world.now += self.tick
        return self.world.now

    def listing(self) -> Iterable[Line]:
        """Return what runs."""
        self.listings += 1
        if self.silent:
            raise SlurmError("squeue does not answer", reason=FailureReason.UNREACHABLE)
        return list(self.listed)

    def watch(self) -> bool:
        """Count passes; tell what the test wants."""
        self.passes += 1
        return self.watched(self.passes)

    def service(self) -> Service:
        """Return a service over the world's drain."""
        threads: Any = (self.thread,)
        around = ServiceParts(
            senders=threads,
            archive=DeliveredArchive(self.state / "delivered", keep_days=3),
            state_writer=DrainStateWriter(self.state / "drain.json", now=self.world.now),
            listing=self.listing,
            inputs_changed=self.watch,
            clock=self.clock,
        )
        return Service(self.world.drain, self.world.parts, around)

    def run(self, passes: int) -> Service:
        """Run for ever, but for so many passes."""
        made = self.service()
        wanted = self.watched

        def watch(number: int) -> bool:
            if number >= passes:
                made.stop()
            return wanted(number)

        self.watched = watch
        made.run()
        return made

    def beacon(self) -> dict[str, Any]:
        """Return what other commands see."""
        document: dict[str, Any] = json.loads((self.state / "drain.json").read_text())
        return document


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a site with nothing in it."""
    (tmp_path / "state").mkdir()
    return Site(World(tmp_path), tmp_path / "state")


def test_once_tells_what_is_there_and_ends(site: Site) -> None:
    """Nothing waits any more."""
    site.world.begin(1)
    site.world.begin(2)
    site.world.end(2)

    assert site.service().run_once()
    assert {(1, NOON): "running", (2, NOON): "completed"} == site.world.backend.rows
    assert ["start", "close", "join"] == site.thread.words


def test_once_says_that_something_waits(site: Site) -> None:
    """cc-backend is down: three probes, then it gives up."""
    site.world.begin(1)
    site.world.backend.everything = Reason.UNREACHABLE

    assert not site.service().run_once()
    assert (3, "down") == (len(site.world.backend.asked), site.beacon()["destination"]["health"])
    assert {"todo": [f"1-{NOON}.json"]} == site.world.files()


def test_once_gives_up_a_halted_server_at_once(site: Site) -> None:
    """Only an operator can mend it."""
    site.world.begin(1)
    site.world.backend.everything = Reason.TOKEN_REFUSED

    assert not site.service().run_once()
    assert 1 == len(site.world.backend.asked)


def test_once_gives_up_when_nothing_moves_for_half_a_minute(site: Site) -> None:
    """A request has no answer yet."""
    site.world.begin(1)
    before, site.tick = site.world.now, 1.0
    site.world.parts.delivery._starts.outstanding = 1  # noqa: SLF001 - none is made

    assert not site.service().run_once()
    assert 30 <= site.world.now - before < 60


def test_once_takes_its_time_for_a_backlog(site: Site) -> None:
    """More than half a minute, as long as it goes on."""
    for job_id in range(1, 200):
        site.world.begin(job_id)
    site.tick = 0.5

    assert site.service().run_once()
    assert 199 == len(site.world.backend.rows)


def test_once_can_be_stopped(site: Site) -> None:
    """What waits stays."""
    site.world.begin(1)
    made = site.service()
    made.stop()

    assert not made.run_once()
    assert [] == site.world.backend.asked


def test_a_service_works_until_it_is_stopped(site: Site) -> None:
    """What is known is durable then."""
    site.world.begin(1)
    site.run(passes=20)

    assert {"open": [f"1-{NOON}.json"]} == site.world.files()
    assert ["start", "close", "join"] == site.thread.words


def test_a_request_that_hangs_is_abandoned_at_the_end(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """It will be told again."""
    site.thread.ends = False
    site.run(passes=1)

    assert ["a request is abandoned; it will be told again"] == [r.message for r in caplog.records]


def test_a_change_of_the_token_allows_a_probe_at_once(site: Site) -> None:
    """The halt ends without a restart and within a pass or two."""
    site.world.begin(1)
    site.world.backend.everything = Reason.TOKEN_REFUSED
    health = []

    def watched(number: int) -> bool:
        health.append(site.world.backend_health.destination.health.value)
        if number == 30:
            site.world.backend.everything = None
            return True
        return False

    site.watched = watched
    site.run(passes=60)

    assert ("halted", "up") == (health[29], health[59])
    assert {(1, NOON): "running"} == site.world.backend.rows


def test_open_runs_that_are_not_running_in_slurm_are_looked_up(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Their epilogs never ran; proof is needed as ever."""
    caplog.set_level(logging.INFO)
    for job_id in (1, 2):
        site.world.begin(job_id)
    site.world.run()
    record = site.world.slurm.records[1]
    over = replace(record, state="COMPLETED", end_time=NOON + 1)
    site.world.slurm.records[1] = over
    site.listed = [Line(2, NOON), Line(1, NOON, is_live=False), Line(3, None)]
    site.run(passes=60)

    assert {(1, NOON): "completed", (2, NOON): "running"} == site.world.backend.rows
    assert "1 open runs are not running in Slurm: looking them up" in caplog.text


def test_an_empty_spool_needs_no_listing(site: Site) -> None:
    """Slurm is left alone."""
    site.run(passes=5)

    assert 0 == site.listings


def test_open_runs_are_compared_hourly(site: Site) -> None:
    """And at the start."""
    site.world.begin(1)
    site.world.run()
    site.listed = [Line(1, NOON)]

    def hours(number: int) -> bool:
        site.world.now += 600
        del number
        return False

    site.watched = hours
    site.run(passes=13)

    assert 3 == site.listings


def test_a_listing_that_fails_is_asked_for_again_soon(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """After a minute."""
    site.world.begin(1)
    site.world.run()
    site.silent = True

    def minutes(number: int) -> bool:
        site.world.now += 30
        del number
        return False

    site.watched = minutes
    site.run(passes=5)

    assert 3 == site.listings
    assert "open runs are not compared: squeue does not answer" in caplog.text


def test_the_beacon_tells_what_the_drain_believes(site: Site) -> None:
    """Before the first request and at the end."""
    site.world.begin(1)
    made = site.service()
    shown = []

    def watched(number: int) -> bool:
        shown.append(site.beacon()["server"])
        if number == 9:
            made.stop()
        return False

    site.watched = watched
    made.run()
    last = site.beacon()

    assert (None, "1.4.4") == (shown[0], last["server"]["version"])
    assert ("up", False, 0) == (
        last["destination"]["health"],
        last["disk_full"],
        last["unknown_hosts"],
    )


def test_a_service_that_hands_over_says_nothing_of_stopping(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Systemd would kill its successor in the same process."""
    said: list[str] = []
    monkeypatch.setattr("spool.drain.service.notify_systemd", said.append)
    made = site.service()

    def watched(_: int) -> bool:
        made.hand_over()
        return False

    site.watched = watched
    made.run()

    assert ["READY=1", "WATCHDOG=1"] == said

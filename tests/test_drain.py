"""The drain as a whole, on a fake clock: what lies in the spool, what cc-backend has."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from drain_world import NOON, World

from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply
from ccbackend.version import ServerInfo, Version
from slurm.job import NodeAllocation
from spool.deliver.health_rules import Channel
from spool.deliver.pending_run import RequestKind
from spool.deliver.senders import SendRequest, SendResult, ServerQuery, ServerReply, Topic
from spool.deliver.stop_release import QUERY_INTERVAL_SECONDS
from spool.files import codec
from spool.files.durable_files import WriteBatch
from spool.formatting import format_time


class FullDisk(WriteBatch):
    """A file system that takes nothing while `error` is set."""

    error: ClassVar[OSError | None] = None

    def commit(self) -> None:
        """Fail, or do the work."""
        if FullDisk.error is not None:
            self.rollback()
            raise FullDisk.error
        super().commit()


@pytest.fixture(autouse=True)
def full_disk() -> Iterator[None]:
    """Let the disk of `FullDisk` be full."""
    FullDisk.error = OSError(errno.ENOSPC, "No space left on device")
    yield
    FullDisk.error = None


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a site with nothing in it."""
    return World(tmp_path)


def test_a_started_job_lies_in_open_and_runs_at_cc_backend(world: World) -> None:
    """A prolog's event becomes a row and a run in open/."""
    world.begin(1)

    world.run()

    assert {(1, NOON): "running"} == world.backend.rows
    assert {"open": [f"1-{NOON}.json"]} == world.files()


def test_an_ended_job_leaves_the_spool_empty(world: World) -> None:
    """An epilog's event closes the row with Slurm's state."""
    world.begin(1)
    world.run()
    world.end(1, "TIMEOUT")

    world.run()

    assert {(1, NOON): "timeout"} == world.backend.rows
    assert {} == world.files()


@pytest.mark.parametrize("milliseconds", range(100, 300, 5))
def test_an_end_that_meets_the_write_of_its_start_is_told_once(
    world: World, milliseconds: int
) -> None:
    """Whenever the end is learned, no event stays and nothing is delivered twice."""
    world.begin(1)
    world.run(milliseconds / 1000)
    world.end(1)

    world.run(3)

    told = [call for call, job_id in world.backend.asked if job_id == 1]
    assert ([RequestKind.START, RequestKind.STOP], {}) == (told, world.files())


@pytest.mark.parametrize("milliseconds", range(0, 1000, 100))
def test_a_run_that_is_told_in_full_is_not_taken_up_from_todo(
    world: World, milliseconds: int
) -> None:
    """Its file lies in todo/ until the next group is written: no reason to deliver it again."""
    world.run(milliseconds / 1000)
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1)
    world.end(1)
    world.run(2)
    world.backend.everything = None

    world.run(5)

    told = [call for call, job_id in world.backend.asked if job_id == 1]
    assert ([RequestKind.START, RequestKind.STOP], {}) == (told[-2:], world.files())
    assert 1 == told.count(RequestKind.STOP)


def test_a_signal_just_before_the_end_of_a_wait_lets_it_end(world: World) -> None:
    """The handler takes longer than was left to wait; a second signal would show a hang."""
    signals = []

    def handler(_number: int, _frame: object) -> None:
        signals.append(time.monotonic())
        assert len(signals) == 1, "the wait did not end"
        while time.monotonic() < signals[0] + 0.1:
            pass

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 2.0)
    try:
        world.drain.take_answers(0.06)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert 1 == len(signals)


@pytest.mark.parametrize("kind", ["start", "stop"])
@pytest.mark.parametrize(
    "reason", [Reason.DATABASE, Reason.BUSY, Reason.BROKEN, Reason.NOT_THE_API]
)
def test_a_run_that_always_fails_does_not_stop_later_runs(
    world: World, reason: Reason, kind: str
) -> None:
    """One run that alone gets a retryable error, again and again, never holds back new runs."""
    world.begin(1)
    if kind == "stop":
        world.run(2)
    world.backend.answers[1] = reason
    if kind == "stop":
        world.end(1)
    for job_id in range(2, 6):
        world.begin(job_id)
    world.run(60)  # long enough for its second failure and more

    for job_id in range(6, 26):
        world.begin(job_id)
    world.run(5)
    for job_id in range(6, 26):
        world.end(job_id)
    world.run(5)

    reported = {job_id for (job_id, _), state in world.backend.rows.items() if state == "completed"}
    assert set(range(6, 26)) == reported


def test_a_refused_run_lies_alone_in_dead(world: World) -> None:
    """Poison is buried in the same pass in which the others are delivered."""
    world.backend.answers[7] = Reason.BAD_REQUEST
    for job_id in range(5, 10):
        world.begin(job_id)

    world.run()

    assert [f"7-{NOON}.json"] == world.files()["dead"]
    assert {5, 6, 8, 9} == {job_id for job_id, _ in world.backend.rows}


def test_an_outage_stores_the_facts_and_is_made_good(world: World) -> None:
    """Jobs that start and end while cc-backend is down are all delivered afterwards."""
    world.backend.everything = Reason.UNREACHABLE
    for job_id in range(10, 20):
        world.begin(job_id)
        world.run(0.1)
        world.end(job_id)
    world.run(2)
    world.slurm.records.clear()
    world.backend.everything = None

    world.run(10)

    assert {(job_id, "completed") for job_id in range(10, 20)} == {
        (job_id, state) for (job_id, _), state in world.backend.rows.items()
    }
    assert {} == world.files()


def test_a_run_met_while_the_end_of_another_is_asked_for_has_its_cores(world: World) -> None:
    """The end of a known run is asked for without cores; a new one is then asked for whole."""
    cores = (NodeAllocation(name="n1", cores=(0, 1), core_count=8),)
    world.begin(2, allocations=cores)
    world.run()
    world.requeue(2)
    world.now += 60
    second = world.job(2, allocations=cores, restart_count=1)
    world.slurm.records[2] = second

    world.run(2)

    (name,) = world.files()["open"]
    assert f"2-{second.start_time}.json" == name
    assert cores == world.stored("open", 2).job.allocations


def test_a_requeued_job_replaces_its_first_run(world: World) -> None:
    """The first run is closed, its row deleted, and the second one runs."""
    world.begin(2)
    world.run()
    world.requeue(2)
    world.run(2)
    second = world.begin(2, restart_count=1)

    world.run(2)

    assert {(2, second.start_time): "running"} == world.backend.rows
    assert {"open": [f"2-{second.start_time}.json"]} == world.files()


def test_a_run_told_before_a_restart_is_not_told_again(world: World) -> None:
    """Accounting shows the replaced first run beside the second one whose end is asked for."""
    world.begin(2)
    world.run()
    world.requeue(2)
    world.run(2)
    world.begin(2, restart_count=1)
    world.run(2)
    world.end(2)
    del world.slurm.records[2]
    world.boot()

    world.run(3)

    assert [
        RequestKind.START,
        RequestKind.STOP,
        RequestKind.START,
        RequestKind.DELETE,
        RequestKind.START,
        RequestKind.STOP,
    ] == [call for call, job_id in world.backend.asked if job_id == 2]


def test_a_requeued_job_keeps_its_first_run_by_policy(tmp_path: Path) -> None:
    """With drain.requeue keep the second run stays here, unreported."""
    world = World(tmp_path, replace_earlier=False)
    world.begin(2)
    world.run()
    world.requeue(2)
    world.run(2)
    second = world.begin(2, restart_count=1)

    world.run(2)

    assert {(2, NOON): "cancelled"} == world.backend.rows
    assert {"open": [f"2-{second.start_time}.json"]} == world.files()


def test_a_young_stop_waits_for_the_cache_of_cc_backend(world: World) -> None:
    """From 1.5 on a stop is held back for 180 s after its start was accepted."""
    world.backend.version = Version(1, 5, 4)
    world.backend.is_cached = True
    world.begin(3)
    world.run()
    world.end(3)

    world.run(100)

    assert {(3, NOON): "running"} == world.backend.rows
    assert {"todo": [f"3-{NOON}.json"]} == world.files()


def test_a_held_stop_is_told_after_the_hold(world: World) -> None:
    """The hold ends by itself."""
    world.backend.version = Version(1, 5, 4)
    world.backend.is_cached = True
    world.begin(3)
    world.run()
    world.end(3)

    world.run(200)

    assert {(3, NOON): "completed"} == world.backend.rows


def test_a_held_stop_is_told_when_its_run_is_listed(world: World) -> None:
    """The cache was flushed: nothing is to be feared any more."""
    world.backend.version = Version(1, 5, 4)
    world.backend.is_cached = True
    world.begin(1)
    world.run()
    world.end(1)
    world.run(30)
    held = world.backend.rows[1, NOON]
    world.backend.is_cached = False

    world.run(30)

    assert ("running", "completed") == (held, world.backend.rows[1, NOON])


def test_one_query_is_about_all_held_stops(world: World) -> None:
    """It is repeated twice a second at most."""
    world.backend.version = Version(1, 5, 4)
    world.backend.is_cached = True
    for job_id in (1, 2, 3):
        world.begin(job_id)
    world.run()
    for job_id in (1, 2, 3):
        world.end(job_id)

    world.run(59)

    count = [call for call, _ in world.backend.asked].count("list")
    assert 0 < count <= 60 / QUERY_INTERVAL_SECONDS


def test_a_queued_start_is_confirmed_before_its_run_counts_as_started(world: World) -> None:
    """cc-backend 1.4.0 may drop what it promised."""
    world.backend.version = Version(1, 4, 0)
    world.backend.promises = 2
    world.begin(1)
    world.run()
    promised = world.files()

    world.run(20)

    assert {"todo": [f"1-{NOON}.json"]} == promised
    assert {(1, NOON): "running"} == world.backend.rows
    assert {"open": [f"1-{NOON}.json"]} == world.files()


@pytest.mark.parametrize(
    ("reason", "maybe_sent"),
    [
        (Reason.UNREACHABLE, False),
        (Reason.TIMED_OUT, True),
        (Reason.QUEUED, True),
        (Reason.AFTER_FLUSH, False),
    ],
)
def test_a_start_says_whether_it_may_have_been_told_before(
    world: World, reason: Reason, *, maybe_sent: bool
) -> None:
    """Then another run's row may be no proof of a conflict; but not for ever."""
    world.backend.answers[1] = reason
    world.begin(1)
    world.run()
    world.backend.answers.clear()

    world.run(200)

    assert maybe_sent == world.backend.maybe_sent[-1]


def test_of_several_clusters_an_unknown_one_halts_itself_alone(world: World) -> None:
    """The others' jobs are delivered; its own follow when it is known."""
    world.partition_clusters["gpu"] = "tinygpu"
    world.boot()
    world.backend.answers[1] = Reason.UNKNOWN_CLUSTER
    world.begin(1, partition="gpu")
    world.run()
    world.begin(2, partition="gpu")
    world.begin(3)
    world.run()
    others = sorted(world.backend.rows)
    world.backend.answers.clear()

    world.run(301)

    assert [3] == [job_id for job_id, _ in others]
    assert {1, 2, 3} == {job_id for job_id, _ in world.backend.rows}
    assert 2 == [job_id for _, job_id in world.backend.asked].count(1)


def test_the_only_cluster_halts_everything_when_it_is_unknown(world: World) -> None:
    """Its name in the configuration is wrong."""
    world.backend.answers[1] = Reason.UNKNOWN_CLUSTER
    world.begin(1)
    world.run()
    world.backend.answers[2] = Reason.UNKNOWN_CLUSTER
    world.begin(2)

    world.run()

    assert "halted" == world.health.state.channels[Channel.STARTS].condition.health
    assert ({}, []) == (world.backend.rows, world.files().get("dead", []))


def test_a_halt_charges_nobody_and_ends_when_the_token_changed(world: World) -> None:
    """After a refused token everything waits, and flows on at once when it was replaced."""
    world.backend.everything = Reason.TOKEN_REFUSED
    world.begin(4)
    world.run(3)
    halted = world.health.state.server
    world.backend.everything = None
    world.health.cause_changed(world.moment)

    world.run()

    assert "halted" == halted.health
    assert {(4, NOON): "running"} == world.backend.rows


def test_silence_of_slurm_finishes_nothing(world: World) -> None:
    """Events wait while Slurm does not answer."""
    world.begin(5)
    world.slurm.silent = True

    world.run(20)

    assert {"new": ["1-start-5-0-0-1"]} == world.files()


def test_an_event_outlives_a_crash_before_its_run_is_stored(world: World) -> None:
    """A drain that died after the answer sends the start again, and there is one row."""
    world.begin(6)
    world.run(0.08)
    world.boot()

    world.run()

    assert {(6, NOON): "running"} == world.backend.rows
    assert {"open": [f"6-{NOON}.json"]} == world.files()


def test_an_opted_out_job_stays_here_unreported(world: World) -> None:
    """Nothing about it leaves the host, and its run is kept until its end."""
    world.begin(1, admin_comment="x, disable_cc_submission")

    world.run()

    assert {} == world.backend.rows
    assert False is world.stored("open", 1).reported


def test_an_opted_out_job_leaves_no_trace_after_its_end(world: World) -> None:
    """Slurm proves the end, and the file goes."""
    world.begin(1, admin_comment="disable_cc_submission")
    world.run()
    world.end(1)

    world.run()

    assert ({}, {}) == (world.files(), world.backend.rows)


def test_an_opted_out_job_that_is_over_is_not_stored(world: World) -> None:
    """Begun and ended before anybody looked."""
    world.begin(1, admin_comment="disable_cc_submission")
    world.end(1)

    world.run()

    assert ({}, {}) == (world.files(), world.backend.rows)


@pytest.mark.parametrize(("ahead", "rows"), [(300, {(1, NOON + 300): "running"}), (302, {})])
def test_a_start_more_than_five_minutes_ahead_waits(
    world: World, ahead: int, rows: dict[tuple[int, int], str]
) -> None:
    """The clocks differ; no server should hear of it."""
    world.begin(1, start_time=NOON + ahead)

    world.run()

    assert rows == world.backend.rows


def test_an_end_more_than_five_minutes_ahead_waits_until_then(world: World) -> None:
    """No row is closed with a time that somebody's clock made up."""
    world.begin(1)
    world.run()
    over = replace(world.slurm.records[1], state="COMPLETED", end_time=NOON + 305)
    world.slurm.records[1] = over
    world.hook("stop", 1)
    world.run()
    before = dict(world.backend.rows)
    world.run(5)

    assert ({(1, NOON): "running"}, {(1, NOON): "completed"}) == (before, world.backend.rows)
    assert {(1, NOON): NOON + 305} == world.backend.ends


def test_an_unknown_host_delays_only_its_own_runs(world: World) -> None:
    """One probe an hour for the host, the others pass."""
    world.backend.answers[1] = Reason.UNKNOWN_HOST
    world.begin(1, nodes=("new1",))
    world.run()
    world.begin(2, nodes=("new1",))
    world.begin(3)

    world.run()

    assert {3} == {job_id for job_id, _ in world.backend.rows}
    assert [1, 3] == [job_id for call, job_id in world.backend.asked if call == "start"]


def test_a_known_host_lets_all_its_runs_go(world: World) -> None:
    """When the probe passes nobody waits for his own hour."""
    world.backend.answers[1] = Reason.UNKNOWN_HOST
    world.begin(1, nodes=("new1",))
    world.run()
    world.begin(2, nodes=("new1",))
    world.run()
    world.backend.answers.clear()
    world.now += 3600

    world.run(3)

    assert {1, 2} == {job_id for job_id, _ in world.backend.rows}


def test_an_idle_halted_drain_asks_by_itself(world: World) -> None:
    """A halt ends without a run that waits."""
    world.backend.everything = Reason.TOKEN_REFUSED
    world.run()
    world.backend.everything = None
    world.health.cause_changed(world.moment)

    world.run()

    assert world.health.is_up


def test_a_run_file_damaged_meanwhile_is_set_aside(world: World) -> None:
    """It is found when its stop is to be delivered."""
    world.backend.version = Version(1, 5, 4)
    world.begin(1)
    world.run()
    world.end(1)
    world.run(5)
    (world.root / "todo" / f"1-{NOON}.json").write_text("{}")

    world.run(200)

    assert {"dead": [f"1-{NOON}.json", f"1-{NOON}.json.why"]} == world.files()


def test_a_run_file_damaged_in_open_is_replaced_by_what_slurm_knows(world: World) -> None:
    """The damaged file goes to `dead/`; the run is delivered from Slurm's own facts."""
    world.begin(1)
    world.run()
    (world.root / "open" / f"1-{NOON}.json").write_text("{}")
    world.end(1)

    world.run()

    assert [f"1-{NOON}.json", f"1-{NOON}.json.why"] == world.files()["dead"]
    assert {(1, NOON): "completed"} == world.backend.rows


def test_a_start_waits_for_the_name_of_its_user(world: World) -> None:
    """The name service may not know a uid for a moment, and a row cannot be corrected."""
    world.begin(1, user=None, uid=4711)
    world.run(20)
    before = dict(world.backend.rows)
    world.users[4711] = "bob"

    world.run(15)

    assert ({}, {(1, NOON): "running"}) == (before, world.backend.rows)
    assert "bob" == world.backend.documents[-1]["user"]


def test_a_run_of_which_slurm_names_no_user_goes_to_dead(world: World) -> None:
    """cc-backend is not asked to store it."""
    world.begin(1, user=None, uid=None)

    world.run()

    assert "whose job" in str(world.stored("dead", 1).last_error)
    assert [] == [call for call, _ in world.backend.asked if call == "start"]


def test_a_run_that_no_server_could_take_is_buried(world: World) -> None:
    """The reason names the field."""
    world.begin(1, nodes=("n1", "n1"))

    world.run()

    assert [f"1-{NOON}.json"] == world.files()["dead"]


def test_a_repeated_start_event_tells_the_start_again(world: World) -> None:
    """The row may have vanished from cc-backend."""
    world.begin(1)
    world.run()
    world.backend.rows.clear()
    world.hook("start", 1)

    world.run()

    assert {(1, NOON): "running"} == world.backend.rows


def test_a_close_event_closes_an_open_run(world: World) -> None:
    """The sweeper alone waives Slurm's proof."""
    world.begin(1)
    world.run()
    del world.slurm.records[1]
    world.hook("close", 1, start=NOON, end=NOON + 60)

    world.run()

    assert {(1, NOON): "failed"} == world.backend.rows


def test_a_close_event_closes_a_row_that_only_cc_backend_has(world: World) -> None:
    """Neither the spool nor Slurm knows the run."""
    world.backend.rows[1, NOON] = "running"
    world.hook("close", 1, start=NOON, end=NOON + 60)

    world.run()

    assert {(1, NOON): "failed"} == world.backend.rows


def test_an_event_that_nobody_knows_is_set_aside_after_a_day(world: World) -> None:
    """Controller and accounting have both answered all the time."""
    world.hook("start", 1)
    world.run()
    world.now += 24 * 3600

    world.run(400)

    assert {"dead": ["1-start-1-0-0-1", "1-start-1-0-0-1.why"]} == world.files()


def test_cores_seen_while_configuring_are_kept(world: World) -> None:
    """A later record may have lost them."""
    cores = (NodeAllocation(name="n1", cores=(4, 5)),)
    world.begin(1, flags=("CONFIGURING",), allocations=cores)
    world.run()
    world.slurm.records[1] = world.job(1, start_time=NOON)

    world.run(20)

    assert cores == world.stored("open", 1).job.allocations


@pytest.mark.parametrize(
    ("next_run", "said"),
    [
        (False, f"reported as CANCELLED at {format_time(NOON + 1)} according to its epilog"),
        (True, f"reported as CANCELLED at {format_time(NOON + 3601)} according to its next run"),
    ],
)
def test_an_end_that_slurm_does_not_prove_is_told_with_a_warning(
    world: World,
    caplog: pytest.LogCaptureFixture,
    next_run: bool,  # noqa: FBT001 - a table
    said: str,
) -> None:
    """A day after Slurm has forgotten the run; an administrator sees what proves it."""
    world.begin(1)
    world.run()
    world.slurm.records.clear()
    if next_run:
        world.now += 3600
        world.begin(1)
    else:
        world.hook("stop", 1)
    world.run(2)
    world.now += 24 * 3600 + 400
    world.resolver.recheck_job(1, world.moment)
    world.run(2)

    assert [said] == [
        found.getMessage().partition("known to Slurm: ")[2]
        for found in caplog.records
        if "is no longer known to Slurm" in found.getMessage()
    ]


def test_cores_of_a_configuring_job_that_never_ran_are_forgotten(world: World) -> None:
    """They belong to nobody."""
    cores = (NodeAllocation(name="n1", cores=(4, 5)),)
    world.begin(1, flags=("CONFIGURING",), allocations=cores)
    world.run()
    world.slurm.records[1] = world.job(1, state="PENDING", start_time=None, nodes=())
    world.run(20)
    world.slurm.records[1] = world.job(1)
    world.hook("start", 1)

    world.run()

    assert () == world.stored("open", 1).job.allocations


def test_an_open_run_that_is_not_listed_is_looked_up(world: World) -> None:
    """Its epilog may never have run."""
    job = world.begin(1)
    world.run()
    over = replace(job, state="COMPLETED", end_time=NOON + 5)
    world.slurm.records.clear()
    world.slurm.rows.append(over)

    world.now += 3600
    world.run()

    assert {(1, NOON): "completed"} == world.backend.rows


def test_a_listed_run_is_not_looked_up(world: World) -> None:
    """Its start time says that it is this very run."""
    world.begin(1)
    world.run()
    looks = world.slurm.looks

    world.now += 3600
    world.run()

    assert looks == world.slurm.looks


def test_a_run_put_into_todo_is_told(world: World) -> None:
    """That is how retry and replay work."""
    world.backend.answers[1] = Reason.BAD_REQUEST
    world.begin(1)
    world.run()
    world.backend.answers.clear()
    run = replace(world.stored("dead", 1), last_error=None)
    (world.root / "todo" / run.name).write_bytes(codec.encode(run))

    world.run(3)

    assert {(1, NOON): "running"} == world.backend.rows


def test_a_run_put_into_todo_that_is_open_is_not_told_again(world: World) -> None:
    """The drain holds it already."""
    world.begin(1)
    world.run()
    run = replace(world.stored("open", 1), started=None)
    (world.root / "todo" / run.name).write_bytes(codec.encode(run))
    world.run(3)

    assert 1 == world.backend.asked.count((RequestKind.START, 1))


def test_a_full_disk_stops_new_posts_and_loses_nothing(world: World) -> None:
    """Events stay, and all is made good when there is space."""
    world.batch_type = FullDisk
    world.boot()
    world.begin(1)
    world.run()
    world.begin(2)
    world.run(5)
    full, rows, files = bool(world.drain.disk_reason), dict(world.backend.rows), world.files()
    FullDisk.error = None
    world.run(15)

    assert (True, {(1, NOON)}) == (full, set(rows))
    assert 2 == len(files["new"])
    assert {"open": [f"1-{NOON}.json", f"2-{NOON + 1}.json"]} == world.files()


def test_a_failing_disk_loses_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An I/O error is distinguished from a full disk."""
    FullDisk.error = OSError(errno.EIO, "Input/output error")
    world.batch_type = FullDisk
    world.boot()
    world.begin(1)

    world.run(3)

    assert "cannot be written: [Errno 5] Input/output error" in caplog.text
    assert ["1-start-1-0-0-1"] == world.files()["new"]


def test_little_space_leaves_scripts_out(world: World) -> None:
    """Facts go before texts."""
    world.min_free_bytes = 1 << 60
    world.texts[1] = ("#!/bin/sh", "JobId=1")
    world.boot()
    world.begin(1)

    world.run()

    assert None is world.stored("open", 1).script


def test_what_is_soft_is_durable_after_a_flush(world: World) -> None:
    """An orderly end leaves nothing in memory."""
    world.backend.everything = Reason.UNREACHABLE
    world.begin(1)
    world.run(0.05)

    world.drain.flush()

    assert {"todo": [f"1-{NOON}.json"]} == world.files()


def test_a_reply_about_a_run_that_is_gone_changes_nothing(world: World) -> None:
    """Its file may have been set aside meanwhile."""
    request = SendRequest(kind=RequestKind.STOP, job_id=99, start_time=1, cluster="alex")
    reply = ApiReply(call=ApiCall.STOP, verdict=ReplyVerdict(Reason.STOPPED))

    result = SendResult(reply=reply, server=ServerInfo())
    world.delivery.take_result(request, result, world.moment)

    assert {} == world.files()


def test_an_event_from_the_future_is_not_waited_for(world: World) -> None:
    """A clock may have been set back."""
    world.begin(1)
    event = world.root / "new" / "1-start-1-0-0-1"
    os.utime(event, (world.now + 9999, world.now + 9999))

    world.run()

    assert {"open": [f"1-{NOON}.json"]} == world.files()


def test_a_copy_in_todo_of_a_run_that_is_here_changes_nothing(world: World) -> None:
    """Nothing is delivered twice."""
    world.begin(1)
    world.run()
    name = f"1-{NOON}.json"
    (world.root / "todo" / name).write_bytes((world.root / "open" / name).read_bytes())

    world.run(3)

    assert 1 == world.backend.asked.count((RequestKind.START, 1))


def test_a_probe_passes_by_a_run_that_is_not_to_be_told(world: World) -> None:
    """It is left out, and a bare question goes instead."""
    world.begin(1)
    world.run()
    world.backend.everything = Reason.UNREACHABLE
    world.end(1)
    world.run()
    world.begin(2, admin_comment="disable_cc_submission")
    world.run(120)
    world.backend.everything = None

    world.run(120)

    assert {(1, NOON): "completed"} == world.backend.rows
    assert not world.stored("open", 2).reported


def test_a_second_run_that_is_over_is_forgotten_by_policy(tmp_path: Path) -> None:
    """The first one stays; nothing waits for the second."""
    world = World(tmp_path, replace_earlier=False)
    world.begin(1)
    world.run()
    world.requeue(1)
    world.run()
    world.now += 120
    world.slurm.records[1] = world.job(1, restart_count=1)
    world.hook("start", 1)
    world.now += 1
    world.end(1)

    world.run(5)

    assert [(1, NOON)] == list(world.backend.rows)
    assert {} == world.files()


def test_a_failed_query_about_held_stops_is_not_repeated_at_once(world: World) -> None:
    """It says nothing about any run."""
    failed = ServerReply(verdict=ReplyVerdict(Reason.QUERY_FAILED, ""), server=ServerInfo())
    world.delivery.questions.take(ServerQuery(topic=Topic.JOBS), failed, world.moment)

    assert "list" not in [call for call, _ in world.backend.asked]

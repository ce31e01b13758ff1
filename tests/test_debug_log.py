"""The debug log follows a job through the whole drain, and shows no text that a user wrote."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from drain_process import NODE, TOKEN, DrainProcess, until
from drain_world import NOON, World
from stub_server import Model, StubServer

from ccbackend.outcomes import Reason
from ccbackend.version import Version
from slurm.errors import FailureReason, SlurmError
from spool.files.event import EventKind
from spool.files.run import End, EndSource
from spool.formatting import format_time
from spool.resolve.job_log import log_records, log_resolution, log_rows
from spool.resolve.job_query import JobQuery
from spool.resolve.resolve_job import Resolution

SCRIPT = "#!/bin/sh\nexport PASSWORD=hunter2\n"


@pytest.fixture
def world(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> World:
    """Return a site whose drain logs everything."""
    caplog.set_level(logging.DEBUG)
    world = World(tmp_path)
    world.backend.version = Version(1, 4, 4)
    return world


def story(caplog: pytest.LogCaptureFixture, job_id: int) -> list[str]:
    """Return the messages about a job since the last call, without repetitions."""
    words = f"job={job_id} "
    messages = [record.getMessage() for record in caplog.records]
    caplog.clear()
    own = [message.removeprefix(words) for message in messages if message.startswith(words)]
    return list(dict.fromkeys(own))


def test_the_log_shows_each_step_of_a_start(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The debug log goes from the start event in `new/` to the run file in `open/`."""
    world.texts[7] = (SCRIPT, "JobId=7")
    world.begin(7)
    world.run()
    start = f"start={NOON}"

    assert [
        f"start event is in new/1-start-7-0-0-{world.pid}",
        f"slurmctld: RUNNING, started {format_time(NOON)}, 1 node",
        f"concluded: new run {start}; 1 event settled",
        f"{start} call=start waits 5.0 s: its texts are read",
        (
            f"{start} texts were read from Slurm (lengths in characters: script {len(SCRIPT)},"
            " description 7)"
        ),
        f"{start} cluster=alex call=start: sending the request",
        f"{start} cluster=alex call=start outcome=delivered: status None, created",
        f"cluster=alex {start} call=start outcome=delivered",
        f"{start} is stored in open/",
    ] == story(caplog, 7)


def test_the_log_shows_each_step_of_an_end(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The debug log goes from the stop event in `new/` to the removal of the run file."""
    world.begin(7)
    world.run()
    story(caplog, 7)
    world.now += 100
    world.end(7)
    ended = int(world.now)
    world.run()
    start = f"start={NOON}"

    assert [
        f"stop event is in new/1-stop-7-0-0-{world.pid}",
        f"slurmctld: COMPLETED, started {format_time(NOON)}, ended {format_time(ended)}, 1 node",
        (
            f"concluded: run {start} ended COMPLETED at {format_time(ended)} (controller);"
            " 1 event settled"
        ),
        f"{start} cluster=alex call=stop: sending the request",
        f"{start} cluster=alex call=stop outcome=delivered: status None, stopped",
        f"cluster=alex {start} call=stop outcome=delivered",
        f"{start} is done; its file is removed",
    ] == story(caplog, 7)


def test_the_log_shows_until_when_a_stop_is_held(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The debug log also shows that cc-backend's job list has the run, which releases the stop."""
    world.backend.version = Version(1, 5, 4)
    world.begin(7)
    world.run()
    world.backend.is_cached = True
    world.now += 10
    world.end(7)
    world.run(5.0)
    held = story(caplog, 7)
    world.backend.is_cached = False
    world.run(30.0)

    assert any(f"start={NOON} call=stop waits 1" in message for message in held)
    assert f"start={NOON} is in cc-backend's job list" in story(caplog, 7)


def test_the_log_shows_why_a_start_waits(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The debug log has the server's answer (unknown host), and that the run is in `todo/`."""
    world.backend.answers[7] = Reason.UNKNOWN_HOST
    world.begin(7)
    world.run(10.0)
    messages = story(caplog, 7)

    assert any("outcome=later: status None, unknown_host" in message for message in messages)
    assert any("is stored in todo/" in message for message in messages)


def test_no_text_of_a_user_is_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Script, description, comments and job name are not in the debug log."""
    world.texts[7] = (SCRIPT, "JobId=7 Command=/home/ada/hunter3")
    world.begin(7, comment="hunter4", admin_comment="hunter5", name="hunter6")
    world.run()
    world.end(7)
    world.run()

    assert {} == world.files()
    assert "hunter" not in caplog.text


def test_unknown_jobs_are_logged(caplog: pytest.LogCaptureFixture, world: World) -> None:
    """The line says whether slurmctld or accounting lacks the job; a failed query logs no line."""
    broken = SlurmError("cannot be read", reason=FailureReason.FAILED)
    row = replace(world.job(7), state="REQUEUED", restart_count=2, flags=("REQUEUE",))
    log_records([7, 8], {8: broken})
    log_rows([7, 8, 9], [row])

    assert [
        "job=7 is unknown to slurmctld",
        (
            f"job=7 accounting: REQUEUED REQUEUE, started {format_time(NOON)}, 1 node,"
            " requeued 2 times"
        ),
        "job=8 has no run in accounting",
        "job=9 has no run in accounting",
    ] == [record.getMessage() for record in caplog.records]


def test_every_conclusion_about_a_job_is_logged(
    caplog: pytest.LogCaptureFixture, world: World
) -> None:
    """One line lists ends, repeated starts and pending or unknown events, or says `nothing new`."""
    world.hook("start", 7)
    world.hook("stop", 7)
    first, second = world.parts.scanner.scan(world.moment)
    caplog.clear()
    query = JobQuery(job_id=7, events=(first, second))
    end = End(time=NOON, state="FAILED", source=EndSource.ACCOUNTING)
    log_resolution(
        query,
        Resolution(
            ends={5: end},
            starts_to_resend=(6,),
            pending_events=(first,),
            unknown_events=(second,),
            missing_starts=(8,),
            needs_accounting=True,
        ),
    )
    log_resolution(query, Resolution())

    assert {EventKind.START, EventKind.STOP} == {first.kind, second.kind}
    assert [
        (
            f"job=7 concluded: run start=5 ended FAILED at {format_time(NOON)} (accounting);"
            " start=6 is sent again; 1 event whose job Slurm does not show yet; 1 event of a job"
            " that Slurm does not know; run start=8 is not shown by Slurm; accounting is asked"
        ),
        "job=7 concluded: nothing new",
    ] == [record.getMessage() for record in caplog.records]


def test_a_drain_is_switched_to_debug_without_a_restart(tmp_path: Path) -> None:
    """After a reload the drain logs commands and requests, but no token and no job script."""
    with StubServer(Model(version="1.4.4", token=TOKEN)) as server:
        drain = DrainProcess(tmp_path, server)
        drain.site.document["cc-backend"]["host"] = server.url
        with drain:
            first = drain.slurm.start(NODE, script=SCRIPT)
            until(lambda: first in drain.states())
            quiet = drain.log.read_text()
            drain.site.document["log"] = {"level": "debug"}
            drain.site.write()
            until(lambda: "the configuration was reloaded" in drain.log.read_text())
            second = drain.slurm.start(NODE, script=SCRIPT)
            until(lambda: f"job={second} start=" in drain.log.read_text())
            until(lambda: second in drain.states())
            drain.end()
    log = drain.log.read_text()

    assert "debug:" not in quiet
    assert f"debug: job={second} slurmctld: RUNNING" in log
    assert "debug: request POST /api/jobs/start_job/: 201 after" in log
    assert f"{drain.slurm.command('squeue')} " in log
    assert "hunter2" not in log
    assert TOKEN not in log

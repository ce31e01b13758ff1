"""A drain process on a real spool: a rejected run, a halt, odd files, and where the token shows."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from command_site import run_of
from drain_process import NODE, TOKEN, DrainProcess, until
from stub_server import Model, StubServer, refusal

from spool.exit_codes import OK
from spool.files.layout import Directory
from spool.files.run import End, EndSource

NEW_TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJleHAiOjE5MDAwMDAwMDF9.c2lnbmF0dXJlLW9mLWFub3RoZXI"
BEGAN = int(time.time()) - 3600
CRITICAL = 2


@pytest.fixture
def server() -> Iterator[StubServer]:
    """Return a cc-backend that knows our token."""
    with StubServer(Model(version="1.4.4", token=TOKEN)) as stub:
        yield stub


@pytest.fixture
def drain(tmp_path: Path, server: StubServer) -> DrainProcess:
    """Return a drain that is not started yet."""
    return DrainProcess(tmp_path, server)


def put_runs(drain: DrainProcess, number: int) -> None:
    """Put ended runs into `todo/`."""
    end = End(time=BEGAN + 60, state="COMPLETED", source=EndSource.CONTROLLER)
    for job_id in range(1, number + 1):
        drain.site.put(Directory.TODO, run_of(job_id, BEGAN, end=end))


def test_one_rejected_run_delays_no_other_run(drain: DrainProcess, server: StubServer) -> None:
    """The other 99 runs are delivered; the dead letter has the reason and can be retried."""
    put_runs(drain, 100)
    server.model.poison[42] = refusal(400, "no such project: \x1b[31mp1\x1b[0m")
    with drain:
        until(lambda: len(drain.states()) == 99 and not drain.site.names("todo"))
        others = {*range(1, 101)} - {42}
        assert (dict.fromkeys(others, "completed"), {"dead": [f"42-{BEGAN}.json"]}) == (
            drain.states(),
            drain.files(),
        )
        letter = json.loads((drain.site.spool / "dead" / f"42-{BEGAN}.json").read_text())
        error = letter["last_error"]
        assert "no such project: \\x1b[31mp1" in error["message"]
        sent = json.loads(error["request"])["jobId"]
        assert (42, 400, True) == (sent, error["status"], bool(error["hint"]))
        shown = drain.site.call("show", "42").out
        assert "outcome rejected, reason bad_request (HTTP 400)" in shown
        assert "retry" in shown

        server.model.poison.clear()
        assert OK == drain.site.call("retry", "ALL").code
        until(lambda: drain.states().get(42) == "completed" and not drain.files())


def test_a_rejected_token_stops_only_deliveries(drain: DrainProcess, server: StubServer) -> None:
    """Events are still resolved, no attempt is counted, and a new token file ends the halt."""
    put_runs(drain, 3)
    server.model.token = NEW_TOKEN
    with drain:
        until(lambda: drain.status()["halted"], 10)
        check = drain.site.call("check")
        assert (CRITICAL, True) == (check.code, "halt" in check.out.lower())

        job_id = drain.slurm.start(NODE)
        until(lambda: not drain.site.names("new") and len(drain.site.names("todo")) == 4)
        (mine,) = (name for name in drain.site.names("todo") if name.startswith(f"{job_id}-"))
        stored = json.loads((drain.site.spool / "todo" / mine).read_text())
        assert [0, 1] == stored["job"]["allocations"][0]["cores"]
        listed = json.loads(drain.site.call("list", "todo", "--json").out)
        assert {0} == {entry["attempts"] for entry in listed}
        asked = len(server.log)

        fresh = drain.site.token.with_name("token.new")
        fresh.write_text(NEW_TOKEN + "\n")
        fresh.chmod(0o640)
        fresh.rename(drain.site.token)
        seconds = until(lambda: len(drain.states()) == 4)

        assert seconds <= 10
        assert asked <= 5
        until(lambda: not drain.status()["halted"], 12)
        assert "running" == drain.states()[job_id]
        assert 0 == drain.end()


def test_strange_files_become_dead_letters_and_the_job_is_delivered(
    drain: DrainProcess, server: StubServer
) -> None:
    """`new/` has a link, a FIFO, a directory, a huge file and a name with terminal escapes."""
    new = drain.site.spool / "new"
    (new / "1-start-5-0-0-1").symlink_to("/etc/passwd")
    os.mkfifo(new / "1-start-6-0-0-1")
    (new / "1-start-7-0-0-1").mkdir()
    (new / "odd\x1b[2J\nname").write_text("end\n")
    with (new / "big").open("wb") as big:
        big.truncate(1 << 30)
    with drain:
        job_id = drain.slurm.start(NODE)
        until(lambda: drain.states() == {job_id: "running"})
        until(lambda: len(drain.site.names("dead")) == 10 and not drain.site.names("new"))
        dead = drain.site.names("dead")

    assert {job_id: "running"} == drain.states()
    assert {"1-start-5-0-0-1", "1-start-6-0-0-1", "1-start-7-0-0-1", "big"} <= {*dead}
    assert all(name.isascii() and name.isprintable() for name in dead)
    del server


def test_the_token_is_only_in_its_file(drain: DrainProcess, server: StubServer) -> None:
    """No other file, log, command output, process argument or environment has the token."""
    put_runs(drain, 4)
    server.model.poison[2] = refusal(400, f"bad token {TOKEN}")
    seen = b""

    def is_known(job_id: int) -> bool:
        return job_id in drain.states()

    with drain:
        assert drain.process is not None
        for step in range(4):
            job_id = drain.slurm.start(NODE)
            until(partial(is_known, job_id))
            if step % 2:
                drain.slurm.end(job_id)
            seen += traces(drain.process.pid)
        until(lambda: not drain.site.names("todo"))
        said = [
            drain.site.call(verb, *more).out.encode()
            for verb, more in (("status", ()), ("list", ()), ("show", ("2",)), ("check", ()))
        ]
        drain.end()

    written = drain.site.everything() + drain.log.read_bytes()
    assert (False, False) == (TOKEN.encode() in written, TOKEN.encode() in seen + b"".join(said))
    assert b"bad token" in written


def traces(pid: int) -> bytes:
    """Return arguments and environment of a process and its children."""
    found = b""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if pid in {int(path.name), parent}:
                found += (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
        except OSError:
            continue
    return found

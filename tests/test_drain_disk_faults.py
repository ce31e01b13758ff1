"""A drain on a disk that is full or fails loses no run and no event."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from drain_process import NODE, TOKEN, DrainProcess, until
from empty_spool import make_directories
from odd_server import OddServer, accepted
from stub_server import StubServer

CRITICAL = 2


@pytest.fixture
def server() -> Iterator[StubServer]:
    """Return a cc-backend that knows our token."""
    with StubServer(OddServer(version="1.4.4", token=TOKEN)) as stub:
        yield stub


@contextmanager
def small_disk(drain: DrainProcess, options: str) -> Iterator[Path]:
    """Put the spool on a file system of its own, and run a drain on it."""
    spool = drain.site.spool
    mount = ["mount", "-t", "tmpfs", "-o", f"{options},mode=755", "none", str(spool)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        make_directories(spool)
        with drain:
            yield spool
    finally:
        subprocess.run(["umount", str(spool)], check=True)


def test_a_full_disk_only_delays_deliveries(tmp_path: Path, server: StubServer) -> None:
    """On a full disk only stops are sent and `check` is critical; later all runs are delivered."""
    drain = DrainProcess(tmp_path, server)
    with small_disk(drain, "size=256k") as spool:
        first = drain.slurm.start(NODE)
        until(lambda: drain.states() == {first: "running"} and drain.site.names("open"))
        healthy = drain.site.call("check").code
        with (spool / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
            while ballast.write(b"x" * 512):
                pass
        second = drain.slurm.start(NODE)
        until(lambda: drain.status()["disk_full"])
        third = drain.slurm.start(NODE)
        drain.slurm.end(first)
        until(lambda: drain.states()[first] == "completed")
        full = drain.site.call("check").code
        posted = drain.states()
        # the second start may have been sent, if Slurm answered before the first failed write
        while_full = (posted[first], third in posted, len(drain.site.names("new")))
        (spool / "ballast").unlink()
        until(lambda: third in drain.states() and not drain.site.names("new"))
        until(lambda: not drain.status()["disk_full"])

        assert (CRITICAL, True) == (full, healthy != CRITICAL)
        assert ("completed", False, 3) == while_full
        assert {first: "completed", second: "running", third: "running"} == drain.states()


def test_a_disk_without_inodes_keeps_the_event(tmp_path: Path, server: StubServer) -> None:
    """One inode is free for the event, but none for the run file."""
    drain = DrainProcess(tmp_path, server)
    with small_disk(drain, "size=4m,nr_inodes=20") as spool:
        until(lambda: drain.status()["server"])
        number = 0
        with suppress(OSError):
            while True:
                (spool / f"ballast{number}").touch()
                number += 1
        (spool / f"ballast{number - 1}").unlink()
        job_id = drain.slurm.start(NODE)
        until(lambda: drain.status()["disk_full"])
        kept = drain.site.names("new")
        for ballast in spool.glob("ballast*"):
            ballast.unlink()
        until(lambda: drain.site.names("open") and not drain.site.names("new"))

        assert (1, {job_id: "running"}) == (len(kept), drain.states())


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("inject", ["fsync:error=ENOSPC", "fsync:error=EIO"])
def test_a_disk_error_only_delays_deliveries(
    tmp_path: Path, server: StubServer, inject: str
) -> None:
    """Two calls of fsync fail; the drain writes the run file again, and sends the start once."""
    drain = DrainProcess(tmp_path, server)
    drain.start("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={inject}:when=3..4")
    try:
        first = drain.slurm.start(NODE)
        until(lambda: drain.states() == {first: "running"}, 30)
        until(lambda: drain.site.names("open") and not drain.site.names("new"), 40)
    finally:
        drain.__exit__(None, None, None)

    assert 1 == accepted(server)["start_job", first]

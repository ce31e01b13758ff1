"""Play an hour of a large site in ten minutes: `make bench-day` (needs neither root nor Slurm).

1 000 000 jobs a day are 42 000 an hour. They start in ten minutes: arrays of 5000 in a second, the
others evenly, 5 % of them shorter than a second. The server is a stub with the service times
measured with cc-backend 1.5.4, Slurm a stand-in that needs as long as the real commands. At the
end each row must have its job's start, end and state.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import requests
from bench_idle import cpu_seconds, status_number
from bench_replay import TOKEN, PacedModel, composer
from stub_server import StubServer

from ccbackend.client import BackendClient
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import Transport
from slurm.job import Job
from spool.drain.assembly import assemble
from spool.drain.externals import DrainSettings, Externals
from spool.files.event import EventKind, event_name
from spool.files.layout import Directory, Layout
from spool.resolve.job_texts import TextsReply

JOBS_A_DAY = 1_000_000
ARRAY_JOBS = 5000
ARRAYS = 3
SHORT_SHARE = 0.05
HOUR_SECONDS = 3600
LOOKUP_SECONDS = 0.01  # a single look-up of Slurm, and a listing at most
LISTING_SECONDS = 0.25
MAX_BACKLOG_SECONDS = 30.0
BURST_SECONDS = 60.0  # after an array's start or end the backlog may be older
SETTLE_SECONDS = 300.0
MAX_GROWTH = 1.1
END_STATES = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")

Truth = Mapping[int, tuple[float, float]]
Rows = dict[int, tuple[int, int, str]]


def day(seconds: float, seed: int, began: float) -> dict[int, tuple[float, float]]:
    """Return start and end of each job of one hour, compressed to `seconds`."""
    rng = random.Random(seed)  # the same jobs for the same seed
    number = JOBS_A_DAY * HOUR_SECONDS // 86400
    arrays = ARRAYS if number > 2 * ARRAYS * ARRAY_JOBS else 0
    starts = [
        began + seconds * (i + 0.5) / arrays + rng.random()
        for i in range(arrays)
        for _ in range(ARRAY_JOBS)
    ]
    starts += [began + rng.random() * seconds for _ in range(number - len(starts))]
    truth = {}
    for job_id, start in enumerate(starts, 1000):
        is_short = rng.random() < SHORT_SHARE
        truth[job_id] = start, start + (rng.random() if is_short else 5 + rng.random() * 55)
    return truth


@dataclass(frozen=True, slots=True)
class TrueSlurm:
    """A controller that knows every job from its start on."""

    truth: Truth
    has_accounting: bool = True

    def jobs(self, ids: Iterable[int], *, states_only: Container[int] = ()) -> Mapping[int, Job]:
        """Return the records of some jobs."""
        del states_only
        wanted = tuple(ids)
        time.sleep(min(LOOKUP_SECONDS * len(wanted), LISTING_SECONDS))
        now = time.time()
        return {i: self._job(i, now) for i in wanted if self.truth[i][0] <= now}

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return the records of ended jobs."""
        del since, until
        now = time.time()
        return tuple(self._job(i, now) for i in ids if self.truth[i][1] <= now)

    def listing(self) -> tuple[Any, ...]:
        """Return nothing: the hourly comparison is not measured here."""
        return ()

    def _job(self, job_id: int, now: float) -> Job:
        start, end = self.truth[job_id]
        is_over = end <= now
        return Job(
            job_id=job_id,
            user=f"u{job_id % 40}",
            account="p1",
            partition="main",
            state=end_state(job_id) if is_over else "RUNNING",
            submit_time=int(start) - 60,
            start_time=int(start),
            end_time=int(end) if is_over else None,
            nodes=(f"n{job_id % 90}",),
            cpus=64,
            time_limit_minutes=1440,
            name=f"job {job_id}",
        )


def end_state(job_id: int) -> str:
    """Return the end state of a job; it shows whether a row got the stop of another job."""
    return END_STATES[job_id % len(END_STATES)]


def serve(end: Connection) -> None:
    """Run a stub server until a message comes, then send start, end and state of each row."""
    with StubServer(PacedModel(version="1.4.4")) as server:
        server.log = NoLog()
        end.send(server.url)
        end.recv()
        rows = server.model.job.values()
        found = {
            row["jobId"]: (row["startTime"], row.get("stopTime", 0), row["jobState"])
            for row in rows
        }
        end.send(found)


class NoLog(list[Any]):
    """A log that keeps nothing."""

    def append(self, _: Any) -> None:
        """Do nothing."""


def stub_transport(url: str) -> Transport:
    """Return a connection to the stub."""
    return Transport(requests.Session(), url, token=lambda: TOKEN)


def drain(
    root: Path, truth: Truth, transport: Callable[[], Transport], *, hold_seconds: float = 0.0
) -> None:
    """Run a drain until its process is terminated."""
    logging.disable(logging.WARNING)
    settings = DrainSettings(
        state=root / "state",
        hold_seconds=hold_seconds,
        replace_earlier=True,
        keep_days=3,
        min_free_bytes=0,
        wants_texts=False,
    )
    known = SharedServerInfo()
    externals = Externals(
        slurm=lambda: TrueSlurm(truth),
        backend=lambda: BackendClient(transport(), known),
        texts=lambda _query: TextsReply(),
        inputs_changed=lambda: False,
    )
    with Layout(root) as layout:
        assemble(settings, composer(), externals, layout=layout).run()


def play(new: Path, truth: Truth) -> None:
    """Write the event of each start and end at its time, as the hooks do."""
    events = [
        (at, kind, job_id, start)
        for job_id, (start, end) in truth.items()
        for at, kind in ((start, EventKind.START), (end, EventKind.STOP))
    ]
    for at, kind, job_id, start in sorted(events):
        time.sleep(max(0.0, at - time.time()))
        name = event_name(kind, job_id, start=int(start), end=None, pid=os.getpid())
        os.close(os.open(new / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))


def oldest(root: Path) -> float:
    """Return the age of the oldest file in `new/` and `todo/`, by the time of its last change."""
    ages = [0.0]
    now = time.time()
    for name in ("new", "todo"):
        with os.scandir(root / name) as entries:
            for entry in entries:
                try:
                    ages.append(now - entry.stat().st_ctime)
                except FileNotFoundError:
                    continue
    return max(ages)


@dataclass(slots=True)
class Watched:
    """The age of a drain's backlog and its memory, sampled once a second."""

    backlog: list[float]
    burst_backlog: list[float]
    resident_mib: list[float]

    def lines(self) -> Iterator[str]:
        """Yield the lines of the report."""
        quarter = self.resident_mib[len(self.resident_mib) // 4]
        last = self.resident_mib[-1]
        worst = max(self.backlog, default=0.0)
        verdict = "met" if worst <= MAX_BACKLOG_SECONDS else "MISSED"
        yield f"oldest of the backlog outside bursts: {worst:.1f} s (goal 30: {verdict})"
        yield f"oldest of the backlog in the minute after a burst: {max(self.burst_backlog):.1f} s"
        verdict = "met" if last <= quarter * MAX_GROWTH else "MISSED"
        yield f"memory after a quarter {quarter:.1f} MiB, at the end {last:.1f} ({verdict})"


def watch(pid: int, root: Path, bursts: list[float], until: float) -> Watched:
    """Sample the drain once a second until its spool is empty after the last event."""
    found = Watched([], [0.0], [])
    deadline = until + SETTLE_SECONDS
    while time.time() < deadline:
        age, now = oldest(root), time.time()
        is_burst = any(0 <= now - burst < BURST_SECONDS for burst in bursts)
        (found.burst_backlog if is_burst else found.backlog).append(age)
        found.resident_mib.append(status_number(Path(f"/proc/{pid}/status"), "VmRSS") / 1024)
        if now > until and not any(any((root / name).iterdir()) for name in ("new", "todo")):
            break
        time.sleep(1)
    return found


def wrong(truth: Truth, rows: Rows) -> list[int]:
    """Return the jobs whose row is missing or differs from the truth."""
    return [
        job_id
        for job_id, (start, end) in truth.items()
        if rows.get(job_id)
        not in {(int(start), at, end_state(job_id).lower()) for at in ends(start, end)}
    ]


def ends(start: float, end: float) -> tuple[int, ...]:
    """Return the stop times a row may have: a stop in the second of the start may be one later."""
    return (int(end), int(start) + 1) if int(end) == int(start) else (int(end),)


def main() -> int:
    """Play the day; return 1 if a row is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for name in (*Directory, "state"):
            (root / name).mkdir()
        began = time.time() + 3
        truth = day(options.seconds, options.seed, began)
        here, there = context.Pipe()
        server = context.Process(target=serve, args=(there,))
        server.start()
        process = context.Process(
            target=drain, args=(root, truth, partial(stub_transport, here.recv()))
        )
        process.start()
        player = threading.Thread(target=play, args=(root / "new", truth))
        player.start()
        bursts = [began + options.seconds * (i + 0.5) / ARRAYS for i in range(ARRAYS)]
        bursts += [burst + BURST_SECONDS for burst in bursts]  # their ends
        watched = watch(process.pid or 0, root, bursts, max(end for _, end in truth.values()))
        cpu = cpu_seconds(process.pid or 0)
        process.terminate()
        player.join()
        here.send(None)
        bad = wrong(truth, here.recv())
        server.join()
        process.join()
    print(
        f"{len(truth)} jobs, {1e3 * cpu / len(truth):.2f} ms CPU each", *watched.lines(), sep="\n"
    )
    print(f"rows that are missing or wrong: {len(bad)} {bad[:5] or ''}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

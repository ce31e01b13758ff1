"""Measure stops of young runs at a real cc-backend >= 1.5: `make bench-stops CC_BACKEND=FILE`.

With commit intervals of 1 s, 5 s and 2 min, jobs shorter than half an interval start evenly. Each
ends with one of four states. At the end the server's database must hold each job once, with its
own stop time and state. Prints how long the stops of young runs waited: those of jobs that ended
before the server's commit made them listable. Takes about a quarter of an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import requests
from bench_day import SETTLE_SECONDS, Rows, Truth, drain, play, wrong
from cc_backend_server import RealServer

from ccbackend.wire.transport import HttpAnswer, Transport
from spool.files.layout import Directory

BINARY = os.environ.get("CC_BACKEND", "")
STOP = "/api/jobs/stop_job/"
HOLD_SECONDS = 180.0  # the default of drain.stop_hold_seconds
POLL_SECONDS = 0.02
HEADER = """Times are median / p99 / max of the young runs

| interval | stops | young | wrong | running | commit to first stop | to stop | end to stop |
|---|---|---|---|---|---|---|---|"""

Times = dict[int, float]


@dataclass(frozen=True, slots=True)
class Load:
    """The jobs of one server: their number, and how long they arrive."""

    interval: int
    jobs: int
    seconds: float

    def truth(self, scale: float) -> dict[int, tuple[float, float]]:
        """Return start and end of each job; `scale` makes the load shorter."""
        rng = random.Random(self.interval)  # the same jobs in each run
        began = time.time() + 3
        number, seconds = int(self.jobs * scale), self.seconds * scale
        starts = [began + rng.random() * seconds for _ in range(number)]
        ends = [start + rng.random() * self.interval / 2 for start in starts]
        return dict(enumerate(zip(starts, ends, strict=True), 1000))


LOADS = (Load(1, 7000, 200), Load(5, 5000, 150), Load(120, 2400, 480))


class TimedTransport(Transport):
    """A connection that appends job id and time of each accepted stop to a file."""

    def __init__(self, url: str, token: str, accepted: Path) -> None:
        super().__init__(requests.Session(), url, token=lambda: token)
        self._accepted = accepted

    def exchange(self, method: str, path: str, **options: Any) -> HttpAnswer:
        """Make the request."""
        answer = super().exchange(method, path, **options)
        if path == STOP and answer.status == requests.codes.ok:
            with self._accepted.open("a") as lines:
                lines.write(f"{json.loads(options['body'])['jobId']} {time.time()}\n")
        return answer


class CommitObserver:
    """A thread that records when each job first appears in the server's job table."""

    def __init__(self, database: Path) -> None:
        self.listed: Times = {}
        self._database = database
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Times:
        self._thread.start()
        return self.listed

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        newest = 0
        query = "SELECT id, job_id FROM job WHERE id > ?"
        with contextlib.closing(sqlite3.connect(self._database)) as database:
            while not self._is_over.wait(POLL_SECONDS):
                found = dict(database.execute(query, (newest,)).fetchall())
                newest = max(found, default=newest)
                self.listed |= dict.fromkeys(found.values(), time.time())


def table_rows(database: Path) -> tuple[Rows, int]:
    """Return start, end and state of each job, and the number of all rows, cached ones too."""
    query = "SELECT job_id, start_time, start_time + duration, job_state FROM job"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(query).fetchall()
        (cached,) = connection.execute("SELECT count(*) FROM job_cache").fetchone()
    return {job_id: (start, end, state) for job_id, start, end, state in rows}, len(rows) + cached


def wait_until_idle(spool: Path, until: float) -> None:
    """Wait until the last job has ended and the spool is empty."""
    deadline = until + HOLD_SECONDS + SETTLE_SECONDS
    while time.time() < deadline:
        time.sleep(0.5)
        names = ("new", "todo", "open")
        if time.time() > until and not any(any((spool / name).iterdir()) for name in names):
            return


def deliver(root: Path, server: RealServer, truth: Truth) -> tuple[Times, Times]:
    """Let a drain report the jobs; return when each was listable and its stop accepted."""
    for name in (*Directory, "state"):
        (root / name).mkdir(parents=True)
    accepted = root / "accepted"
    accepted.touch()
    transport = partial(TimedTransport, server.url, server.token, accepted)
    process = multiprocessing.get_context("fork").Process(
        target=drain, args=(root, truth, transport), kwargs={"hold_seconds": HOLD_SECONDS}
    )
    process.start()
    player = threading.Thread(target=play, args=(root / "new", truth))
    player.start()
    with CommitObserver(server.database) as listed:
        wait_until_idle(root, max(end for _, end in truth.values()))
    process.terminate()
    process.join()
    player.join()
    pairs = (line.split() for line in accepted.read_text().splitlines())
    return listed, {int(job_id): float(at) for job_id, at in pairs}


def figures(values: list[float]) -> str:
    """Return median, 99th percentile and maximum."""
    ordered = sorted(values) or [math.nan]
    found = (statistics.median(ordered), ordered[math.ceil(len(ordered) * 0.99) - 1], ordered[-1])
    return " / ".join(f"{value:.2f}" for value in found) + " s"


def measure(load: Load, scale: float) -> bool:
    """Deliver one load and print its row of the table; return whether every row is right."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        server = RealServer(Path(BINARY).resolve(), root / "server")
        server.commit_interval = f"{load.interval}s"
        cluster = (root / "server/var/job-archive/lab/cluster.json").read_text()
        server.replace_cluster("lab", cluster.replace("n2cn[001-004]", "n[0-9],n[10-89]"))
        with server:
            truth = load.truth(scale)
            listed, accepted = deliver(root / "spool", server, truth)
        rows, number = table_rows(server.database)
    young = [job for job in accepted if truth[job][1] < listed.get(job, 0.0)]
    bad = wrong(truth, rows)
    running = sum(job not in rows or rows[job][2] == "running" for job in bad)
    cells = [f"{load.interval} s", len(accepted), len(young), len(bad) - running, running]
    # in this order the first stop of each commit is the last one that is put into the dictionary
    latest = sorted(young, key=accepted.__getitem__, reverse=True)
    first = {listed[job]: accepted[job] for job in latest}
    cells.append(figures([at - commit for commit, at in first.items()]))
    cells.append(figures([accepted[job] - listed[job] for job in young]))
    cells.append(figures([accepted[job] - truth[job][1] for job in young]))
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    return not bad and number == len(truth)


def main() -> int:
    """Print the table; return 1 if a row is wrong."""
    if not BINARY:
        print("CC_BACKEND does not name the binary of a server", file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="part of the jobs and of the time")
    options = parser.parse_args()
    print(HEADER, flush=True)
    results = [measure(load, options.scale) for load in LOADS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())

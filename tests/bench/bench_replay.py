"""Measure the delivery of a backlog, 2000 starts and 2000 stops, against a bare `requests` loop.

Both post the same documents in turn to a stub server in another process. Only the ratio counts: the
figures depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import requests
from empty_spool import make_directories
from stub_server import Answer, Model, Request, StubServer

from ccbackend.client import BackendClient
from ccbackend.job_filters import JobFilters
from ccbackend.metadata import MetadataPolicy
from ccbackend.site_map import SiteMap
from ccbackend.version import SharedServerInfo, Version, server_info
from ccbackend.wire.transport import Transport
from slurm.job import Job
from spool.deliver.compose import PayloadComposer
from spool.deliver.pending_run import RequestKind
from spool.drain.assembly import assemble
from spool.drain.externals import DrainSettings, Externals
from spool.files import codec
from spool.files.layout import Layout
from spool.files.run import End, EndSource, Run
from spool.resolve.job_texts import TextsReply

BEGAN = int(time.time()) - 2 * 3600
SCRIPT = "#!/bin/bash\n#SBATCH --nodes=2\n" + "srun ./solve --step 1\n" * 40
TOKEN = "TOKEN:api"
START, STOP = "/api/jobs/start_job/", "/api/jobs/stop_job/"
PACE_SECONDS = {START: 0.0025, STOP: 0.005}


class SilentSlurm:
    """A Slurm that knows no job; the drain needs nothing from it."""

    has_accounting = True

    @staticmethod
    def jobs(_ids: Iterable[int], *, states_only: Container[int] = ()) -> Mapping[int, Job]:
        """Return nothing."""
        del states_only
        return {}

    @staticmethod
    def accounting(_ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return nothing."""
        del since, until
        return ()

    @staticmethod
    def listing() -> tuple[Any, ...]:
        """Return nothing."""
        return ()


def runs(number: int) -> list[Run]:
    """Return ended runs of which nothing has been delivered yet."""
    jobs = (
        Job(
            job_id=1000 + i,
            user=f"u{i % 40}",
            account="p1",
            partition="main",
            state="COMPLETED",
            start_time=BEGAN + i % 600,
            end_time=BEGAN + 3600,
            nodes=(f"n{i % 90}", f"n{i % 90 + 1}"),
            cpus=64,
            time_limit_minutes=1440,
            name=f"job {i}",
        )
        for i in range(number)
    )
    over = End(time=BEGAN + 3600, state="COMPLETED", source=EndSource.CONTROLLER)
    return [
        Run(job=job, start_time=job.start_time or 0, end=over, script=SCRIPT, description="x" * 900)
        for job in jobs
    ]


def composer() -> PayloadComposer:
    """Return the composer that makes request bodies from runs."""
    return PayloadComposer(lambda _: SiteMap(cluster="lab"), MetadataPolicy(), JobFilters())


class PacedModel(Model):
    """A server that needs as long as cc-backend 1.5.4 did (190 stops/s, up to 400 starts/s)."""

    def respond(self, request: Request) -> Answer:
        """Answer after a while, one request at a time: the database has one writer."""
        time.sleep(PACE_SECONDS.get(request.path, 0.0))
        return super().respond(request)


def serve(end: Connection, *, is_paced: bool) -> None:
    """Run a stub server until a message comes, then send how many rows have ended."""
    model = PacedModel if is_paced else Model
    with StubServer(model(version="1.4.4")) as server:
        end.send(server.url)
        end.recv()
        end.send(sum(state == "completed" for state in server.rows().values()))


@contextmanager
def server(number: int, *, is_paced: bool) -> Iterator[str]:
    """Yield the URL of a new server; at the end all runs must be stopped there."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=serve, args=(there,), kwargs={"is_paced": is_paced})
    process.start()
    try:
        yield here.recv()
        here.send(None)
        over = here.recv()
    finally:
        process.join(10)
    if over != number:
        raise SystemExit(f"{over} of {number} runs are over at the server")


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of a delivery: requests per second, and own CPU milliseconds per run."""

    rate: float
    cpu: float


@contextmanager
def timing(number: int) -> Iterator[list[Pace]]:
    """Measure the block that follows, which delivers a number of runs."""
    found: list[Pace] = []
    began, cpu = time.perf_counter(), time.process_time()
    yield found
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    found.append(Pace(2 * number / took, 1e3 * cpu / number))


def bare(todo: list[Run], *, is_paced: bool) -> Pace:
    """Post starts, then stops, in a plain loop."""
    make, known = composer(), server_info(Version(1, 4, 4))
    paths = {RequestKind.START: START, RequestKind.STOP: STOP}
    bodies = [(paths[call], make.document(run, call, known)) for call in paths for run in todo]
    with server(len(todo), is_paced=is_paced) as url, requests.Session() as session:
        session.trust_env = False
        with timing(len(todo)) as found:
            for path, document in bodies:
                data = json.dumps(document)
                reply = session.post(url + path, data, headers={"X-Auth-Token": TOKEN}, timeout=60)
                reply.raise_for_status()
        return found[0]


def drain(todo: list[Run], *, is_paced: bool) -> Pace:
    """Deliver runs with one run of the drain."""
    with tempfile.TemporaryDirectory() as place, server(len(todo), is_paced=is_paced) as url:
        root = Path(place)
        make_directories(root)
        for run in todo:
            (root / "todo" / run.name).write_bytes(codec.encode(run))
        (root / "state").mkdir()
        site = DrainSettings(
            state=root / "state",
            hold_seconds=0.0,
            replace_earlier=True,
            keep_days=3,
            min_free_bytes=0,
        )
        known = SharedServerInfo()
        externals = Externals(
            new_watch=lambda *_: None,
            slurm=SilentSlurm,
            backend=lambda: BackendClient(
                Transport(requests.Session(), url, token=lambda: TOKEN), known
            ),
            texts=lambda _query: TextsReply(),
            inputs_changed=lambda: False,
        )
        with timing(len(todo)) as found, Layout(root) as layout:
            if not assemble(site, composer(), externals, layout=layout).run_once():
                raise SystemExit("something waits in the spool")
        return found[0]


def main() -> None:
    """Run both in turn; print each figure and the median ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="each has a start and a stop")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only-drain", action="store_true", help="for a profiler")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    todo = runs(options.runs)
    if options.only_drain:
        print(f"{drain(todo, is_paced=False).rate:.0f} requests/s")
        return
    for is_paced, words in ((True, "at cc-backend's pace"), (False, "that answers at once")):
        turns = [
            (bare(todo, is_paced=is_paced), drain(todo, is_paced=is_paced))
            for _ in range(options.turns)
        ]
        print(f"a server {words}, {options.runs} starts and as many stops, requests/s:")
        for loop, spool in turns:
            print(
                f"  bare loop {loop.rate:6.0f}, drain {spool.rate:6.0f},"
                f" ratio {spool.rate / loop.rate:.2f}; own CPU per run (start and stop):"
                f" {loop.cpu:.2f} ms, {spool.cpu:.2f} ms, ratio {spool.cpu / loop.cpu:.2f}"
            )
        rates = statistics.median(spool.rate / loop.rate for loop, spool in turns)
        cpus = statistics.median(spool.cpu / loop.cpu for loop, spool in turns)
        print(f"  median ratio {rates:.2f}, of own CPU {cpus:.2f}")


if __name__ == "__main__":
    main()

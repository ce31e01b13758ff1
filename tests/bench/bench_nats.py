"""Compare `nats.mode` transport with plain publishing: `make bench-nats CC_BACKEND=FILE`.

Both report the same jobs of 0 to 5 seconds by one broker to one real cc-backend, whose job cache is
committed every 2 s. Plain publishing is what a reporter without confirmation does: a start is
published, and the stop when the job ends. Prints how many jobs have their row and their end.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from nats.aio.client import Client
from nats_site import SUBJECT, NatsServer
from test_nats_real_backend import (
    BEGAN,
    BINARY,
    COMMIT_SECONDS,
    HOST,
    JOBS,
    RealSite,
    drain_by_nats,
    put_ended,
)

from ccbackend.nats_api.event_lines import event_line
from ccbackend.outcomes import ApiCall

MAX_SECONDS = 5
STARTS_PER_SECOND = 50.0
PATIENCE_SECONDS = 600.0


class Message(NamedTuple):
    """A start or stop of a job, and when it is published."""

    at: float
    call: ApiCall
    job_id: int
    duration: int

    def line(self) -> bytes:
        """Return the message as it is published."""
        body: dict[str, Any] = {"jobId": self.job_id, "cluster": "lab", "startTime": BEGAN}
        if self.call is ApiCall.START:
            nodes = [{"hostname": HOST, "hwthreads": [0, 1]}]
            body |= {"user": "ada", "project": "p1", "partition": "cpu", "shared": "none"}
            body |= {"numNodes": 1, "resources": nodes, "monitoringStatus": 0}
        else:
            body |= {"stopTime": BEGAN + max(self.duration, 1), "jobState": "completed"}
        return event_line(self.call, body, time.time_ns())


def messages(ids: Iterable[int], *, is_backlog: bool) -> Iterator[Message]:
    """Yield the messages of some jobs: as they happen, or of a backlog as fast as possible."""
    random = Random(1)  # the same jobs in each run
    for place, job_id in enumerate(ids):
        duration = random.randrange(MAX_SECONDS + 1)
        begin = 0.0 if is_backlog else place / STARTS_PER_SECOND
        yield Message(begin, ApiCall.START, job_id, duration)
        yield Message(begin + (0 if is_backlog else duration), ApiCall.STOP, job_id, duration)


async def publish(url: str, found: Iterable[Message]) -> None:
    """Publish the messages, each at its time."""
    client = Client()
    await client.connect(url)
    began = time.monotonic()
    for message in sorted(found, key=lambda each: each.at):  # stable: a start precedes its stop
        await asyncio.sleep(max(0.0, message.at - (time.monotonic() - began)))
        await client.publish(SUBJECT, message.line())
    await client.drain()


def deliver(root: Path, server: RealSite, broker: NatsServer) -> None:
    """Deliver the jobs of a backlog by a drain in mode transport."""
    drain = drain_by_nats(root, server, broker)
    put_ended(drain, range(1, JOBS + 1))
    until = time.monotonic() + PATIENCE_SECONDS
    with drain:
        while drain.site.names("todo") or drain.site.names("open"):
            if time.monotonic() > until:
                break
            time.sleep(0.5)


def line(name: str, server: RealSite, ids: range, seconds: float) -> str:
    """Return the row of the table about some jobs."""
    rows = server.rows(ids)
    states = Counter(state for _, state in rows)
    cells = (name, len(rows), states["completed"], len(ids) - states["completed"])
    return "| " + " | ".join(map(str, cells)) + f" | {seconds:.0f} s |"


def main() -> int:
    """Print the table."""
    if not BINARY:
        print("CC_BACKEND does not name the binary of a server", file=sys.stderr)
        return 1
    logging.disable(logging.WARNING)
    print(f"{JOBS} jobs of 0 to {MAX_SECONDS} s, commit interval {COMMIT_SECONDS} s\n")
    print("| how | rows | with their end | without | time |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name, NatsServer(Path(name)) as broker:
        server = RealSite(Path(name) / "server", broker)
        server.real.start(nats=True)
        try:
            for place, words in enumerate(("as they happen", "a backlog"), 1):
                ids = range(place * 10_000 + 1, place * 10_000 + JOBS + 1)
                began = time.monotonic()
                found = messages(ids, is_backlog=words == "a backlog")
                asyncio.run(publish(broker.url, found))
                seconds = time.monotonic() - began
                time.sleep(5 * COMMIT_SECONDS)
                print(line(f"plain publishing, {words}", server, ids, seconds), flush=True)
            began = time.monotonic()
            deliver(Path(name), server, broker)
            ids = range(1, JOBS + 1)
            print(line("mode transport, a backlog", server, ids, time.monotonic() - began))
        finally:
            server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

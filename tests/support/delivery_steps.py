"""Steps for tests of the delivery: runs in some state, silent workers, unreadable files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from drain_world import NOON, World

from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply
from ccbackend.version import ServerInfo, Version
from spool.deliver.pending_run import PendingRun, RequestKind
from spool.deliver.senders import SendRequest, SendResult
from spool.drain.state_report import StateReport
from spool.files.layout import Directory
from spool.worker import Worker

NAME = f"1-{NOON}.json"
HOUR = 3600.0
NEW = Version(1, 5, 4)


def stored(world: World, *job_ids: int) -> None:
    """Put runs into `todo/` by starting jobs while cc-backend is unreachable."""
    world.backend.everything = Reason.UNREACHABLE
    for job_id in job_ids:
        world.begin(job_id)
    world.run()
    world.backend.everything = None


def entry_of(world: World, job_id: int) -> PendingRun:
    """Return the entry of a job's only run."""
    (entry,) = world.store.lane(job_id, world.moment)
    return entry


def started(world: World, job_id: int = 1) -> PendingRun:
    """Return the entry of a run whose start was delivered an hour ago."""
    world.begin(job_id)
    world.run(6)
    world.now += HOUR
    return entry_of(world, job_id)


def running(world: World) -> set[int]:
    """Return the job ids that cc-backend shows as running."""
    return {job_id for (job_id, _), state in world.backend.rows.items() if state == "running"}


def calls(world: World, kind: str) -> list[int]:
    """Return the job ids of all requests of one kind."""
    return [job_id for call, job_id in world.backend.asked if call == kind]


def request(job_id: int = 1, kind: RequestKind = RequestKind.START) -> SendRequest:
    """Return a request for a run."""
    return SendRequest(kind=kind, job_id=job_id, start_time=NOON, cluster="alex")


def result(reason: Reason = Reason.CREATED, **facts: Any) -> SendResult:
    """Return the result of sending a start."""
    reply = ApiReply(call=ApiCall.START, verdict=ReplyVerdict(reason), **facts)
    return SendResult(reply=reply, server=ServerInfo())


@contextmanager
def held(worker: Worker[Any, Any], world: World) -> Iterator[list[Any]]:
    """Keep a worker silent; answer its questions at the end of the block."""
    waiting: list[Any] = []
    with pytest.MonkeyPatch.context() as patched:

        def ask(question: Any) -> None:
            worker.busy_since = world.now if not worker.outstanding else worker.busy_since
            worker.outstanding += 1
            waiting.append(question)

        def recall() -> list[Any]:
            recalled = waiting[1:]
            del waiting[1:]
            worker.outstanding -= len(recalled)
            return recalled

        patched.setattr(worker, "ask", ask)
        patched.setattr(worker, "recall", recall)
        yield waiting
    for question in waiting:
        worker.put_answer(question, worker.work(question))


@contextmanager
def unreadable(world: World, error: OSError) -> Iterator[None]:
    """Make reading run files fail inside the block."""
    layout = world.parts.layout
    read = layout.read

    def fail(directory: Directory, name: str, limit_bytes: int) -> Any:
        if directory is not Directory.NEW:
            raise error
        return read(directory, name, limit_bytes)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(layout, "read", fail)
        yield


def alarms(world: World) -> dict[str, str]:
    """Return the files that the drain reports as unreadable, with the reasons."""
    found = StateReport(world.drain, world.parts, once=False).state(world.moment).unreadable
    return {each.name: each.reason for each in found}

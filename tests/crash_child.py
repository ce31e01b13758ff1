"""Forks children that work on a spool and may be killed at any system call.

A process of its own without threads, so that forking is safe and cheap. Reads one JSON object a
line: {"root": str, "url": str, "scenario": str, "number": int | null, "after": bool, "power_cut":
bool, "broken": str | null}; answers {"status": int, "calls": int} (status -9: killed).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests
from crash_calls import Calls

from ccbackend.client import Backend, Known
from ccbackend.filters import Filters
from ccbackend.metadata import MetadataPolicy
from ccbackend.payload import SiteMap
from ccbackend.session import Link
from slurm.job import Job
from spool.deliver.compose import SiteComposer
from spool.drain.assembly import Outside, Site, assemble
from spool.files.layout import Layout
from spool.files.store import Group

BEGAN = 1_767_225_600


class Truth:
    """A Slurm whose state is a file: {"records": [job...], "rows": [job...]}."""

    def __init__(self, path: Path) -> None:
        document = json.loads(path.read_text())
        self._records = {job["job_id"]: _job(job) for job in document["records"]}
        self._rows = tuple(_job(job) for job in document["rows"])

    def jobs(self, ids: Iterable[int]) -> Mapping[int, Job]:
        """Return the controller's records."""
        return {i: self._records[i] for i in ids if i in self._records}

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return accounting's rows."""
        wanted = set(ids)
        found = (row for row in self._rows if row.job_id in wanted)
        return tuple(r for r in found if since <= (r.end_time or until) and r.start_time)

    def listing(self) -> tuple[Any, ...]:
        """Return nothing: open runs are then looked up one by one."""
        return ()


class RemovesFirst(Group):
    """Broken on purpose: what is replaced goes before what replaces it is safe."""

    def commit(self) -> None:
        """Remove, then write."""
        removed, self._removed = self._removed, []
        for directory, name in removed:
            self._unlink(directory, name)
        super().commit()


class NeverSyncs(Group):
    """Broken on purpose: nothing is ever fsynced."""

    def commit(self) -> None:
        """Write without fsync."""
        self.system = _Unsynced()
        super().commit()


class _Unsynced:
    @staticmethod
    def fsync(_fd: int) -> None:
        """Forget to."""

    @staticmethod
    def rename(src: str, dst: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        """Rename."""
        os.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    @staticmethod
    def unlink(path: str, *, dir_fd: int) -> None:
        """Unlink."""
        os.unlink(path, dir_fd=dir_fd)


BROKEN = {"removes first": RemovesFirst, "never syncs": NeverSyncs}


def _job(document: dict[str, Any]) -> Job:
    job = Job(**{key: value for key, value in document.items() if key != "nodes"})
    return replace(job, nodes=tuple(document.get("nodes", ())))


def drain(order: dict[str, Any]) -> None:
    """Drain once."""
    root = Path(order["root"])
    site = Site(
        spool=root / "spool",
        state=root / "state",
        hold_seconds=0.0,
        replace_earlier=True,
        keep_days=3,
        min_free_bytes=0,
    )
    known = Known()
    backends = tuple(
        Backend(Link(requests.Session(), order["url"], token=lambda: order["token"]), known)
        for _ in range(2)
    )
    outside = Outside(
        slurm=Truth(root / "slurm.json"),
        backends=(backends[0], backends[1]),
        describe=lambda jobs: {job.job_id: ("#!/bin/sh\n", "JobId=1") for job in jobs},
        user_name=lambda _: None,
        watch=lambda: False,
        clock=time.time,
        new_group=BROKEN.get(order.get("broken") or "", Group),
    )
    composer = SiteComposer(
        lambda _: SiteMap(cluster=order["cluster"]), MetadataPolicy(), Filters()
    )
    with Layout(root / "spool") as layout:
        assemble(site, composer, outside, layout=layout).run_once()


def child(order: dict[str, Any], report: int) -> None:
    """Work, counting calls; killed at the one that was ordered."""
    calls = Calls(order["number"], after=order["after"], power_cut=order["power_cut"])
    calls.install()
    SCENARIOS[order["scenario"]](order)
    os.write(report, str(calls.count).encode())


SCENARIOS = {"drain": drain}


def main() -> None:
    """Serve orders until the input ends."""
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child(order, writing)
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        _, status = os.waitpid(pid, 0)
        counted = os.read(reading, 20)
        os.close(reading)
        answer = {"status": os.waitstatus_to_exitcode(status), "calls": int(counted or 0)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

"""Fork children that work on a spool and may be killed at any system call.

This is a separate process without threads, so that forking is safe and cheap. It reads one JSON
object per line: {"root": str, "url": str, "scenario": "drain" | a verb, "words": its arguments,
"number": int | null, "after": bool, "power_cut": bool, "broken": str | null}; and answers
{"status": int, "calls": int} (status -9: killed).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Container, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests
from crash_broken import broken_group
from crash_calls import Calls

from ccbackend.client import BackendClient
from ccbackend.job_filters import JobFilters
from ccbackend.metadata import MetadataPolicy
from ccbackend.site_map import SiteMap
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import Transport
from slurm.job import Job
from spool.commands import discard, replay, retry
from spool.config import load
from spool.deliver.compose import PayloadComposer
from spool.drain.assembly import assemble
from spool.drain.externals import DrainSettings, Externals
from spool.files.layout import Layout
from spool.resolve.job_texts import Texts, TextsReply

TEXTS = Texts(script="#!/bin/sh\n", description="JobId=1")


class Truth:
    """A Slurm whose state is a file: {"records": [job...], "rows": [job...]}."""

    has_accounting = True

    def __init__(self, path: Path) -> None:
        document = json.loads(path.read_text())
        self._records = {job["job_id"]: _job(job) for job in document["records"]}
        self._rows = tuple(_job(job) for job in document["rows"])

    def jobs(self, ids: Iterable[int], *, states_only: Container[int] = ()) -> Mapping[int, Job]:
        """Return the controller's records."""
        found = {i: self._records[i] for i in ids if i in self._records}
        return {
            i: replace(job, allocations=(), comment=None) if i in states_only else job
            for i, job in found.items()
        }

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return accounting's rows."""
        wanted = set(ids)
        found = (row for row in self._rows if row.job_id in wanted)
        return tuple(r for r in found if since <= (r.end_time or until) and r.start_time)

    def listing(self) -> tuple[Any, ...]:
        """Return an empty job list, so that open runs are looked up one by one."""
        return ()


def _job(document: dict[str, Any]) -> Job:
    job = Job(**{key: value for key, value in document.items() if key != "nodes"})
    return replace(job, nodes=tuple(document.get("nodes", ())))


def drain(order: dict[str, Any]) -> None:
    """Drain the spool of an order once."""
    root = Path(order["root"])
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
        slurm=lambda: Truth(root / "slurm.json"),
        backend=lambda: BackendClient(
            Transport(requests.Session(), order["url"], token=lambda: order["token"]), known
        ),
        texts=lambda query: TextsReply(texts={(j.job_id, j.start_time): TEXTS for j in query.jobs}),
        inputs_changed=lambda: False,
        new_batch=broken_group(order["broken"]),
    )
    composer = PayloadComposer(
        lambda _: SiteMap(cluster=order["cluster"]), MetadataPolicy(), JobFilters()
    )
    with Layout(root / "spool") as layout:
        assemble(site, composer, externals, layout=layout).run_once()


def child(order: dict[str, Any], report: int) -> None:
    """Run the scenario of an order and count system calls; die at the call that it names."""
    calls = Calls(order["number"], after=order["after"], power_cut=order["power_cut"])
    calls.install()
    (drain if order["scenario"] == "drain" else command)(order)
    os.write(report, str(calls.count).encode())


def command(order: dict[str, Any]) -> None:
    """Run a command of `cc-spool` as an administrator does."""
    root = Path(order["root"])
    (root / "config.json").write_text(
        json.dumps(
            {
                "clustername": order["cluster"],
                "cc-backend": {"host": order["url"], "token_file": str(root / "token")},
                "spool": {
                    "directory": str(root / "spool"),
                    "state_directory": str(root / "state"),
                    "min_free_bytes": 0,
                },
            }
        )
    )
    broken_group(order["broken"])
    verb = VERBS[order["scenario"]]
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    words = [word.replace("ROOT", str(root)) for word in order["words"]]
    with redirect_stdout(io.StringIO()):
        verb.run(load(root / "config.json"), parser.parse_args(words))


VERBS = {"retry": retry, "replay": replay, "discard": discard}


def main() -> None:
    """Execute one order per line until the input ends."""
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

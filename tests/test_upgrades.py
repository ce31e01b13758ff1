"""Slurm, cc-backend or this program changes its release with pending runs: no loss, no double."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from command_site import CommandSite
from demo_site import GPUS
from drain_world import NOON, World
from stub_server import Worker
from upgrade_site import NamelessModel, UpgradeSite

NAMES = {
    "exclusive": {"NODE_FAIL": "failed", "DEADLINE": "timeout"},
    "shared": {"NODE_FAIL": "node_fail", "DEADLINE": "deadline"},
}
CHANGES = [
    ("1.4.4", "1.5.4", "shared"),
    ("1.3.1", "1.4.4", "exclusive"),
    ("1.4.1", "1.5.0", "shared"),
    ("1.5.4", "1.4.4", "exclusive"),
]


@pytest.mark.parametrize(("before", "after", "dialect"), CHANGES)
def test_cc_backend_comes_back_from_an_outage_as_another_release(
    tmp_path: Path, before: str, after: str, dialect: str
) -> None:
    """Starts, stops and a requeue are pending: all are delivered with the new release's states."""
    with UpgradeSite(tmp_path, version=before) as site:
        node, late, requeued, stays, over = (site.begin() for _ in range(5))
        site.end(over)
        site.wait_reported([node, late, requeued, stays])
        site.sweep("apply")
        with site.outage():
            site.end(node, "NODE_FAIL")
            site.end(late, "DEADLINE")
            site.requeue(requeued)
            begun, short = site.begin(), site.begin()
            site.end(short, "TIMEOUT")
            site.wait_stored([node, late, requeued, requeued, begun, short])
            site.become(after)
        site.wait_reported([stays, requeued, begun])
        site.wait_server(after, dialect)
        planned = site.sweep("plan")
        for job in (stays, requeued, begun):
            site.end(job, "NODE_FAIL")
        site.wait_reported()
        states, sharing = site.states(), site.field(dialect)

    name = NAMES[dialect]
    ended = dict.fromkeys((stays, requeued, begun, node), name["NODE_FAIL"])
    expected = {**ended, late: name["DEADLINE"], short: "timeout", over: "completed"}
    assert expected == states
    assert {} == planned
    assert {requeued, begun, short} <= sharing.keys()


@pytest.mark.parametrize(
    ("before", "after", "dialect"), [("1.4.4", "1.5.4", "shared"), ("1.5.4", "1.4.4", "exclusive")]
)
@pytest.mark.parametrize("way", ["connection lost", "connection kept"])
def test_cc_backend_is_replaced_between_two_requests(
    tmp_path: Path, before: str, after: str, dialect: str, way: str
) -> None:
    """Behind a proxy no connection is lost, and only an answer shows the other release."""
    with UpgradeSite(tmp_path, version=before) as site:
        first, second = site.begin(), site.begin()
        site.wait_reported([first, second])
        site.sweep("apply")
        exchange = site.swap if way == "connection lost" else site.become
        exchange(after)
        third = site.begin()
        site.wait_reported([first, second, third])
        site.wait_server(after, dialect)
        site.end(first, "NODE_FAIL")
        site.end(third, "DEADLINE")
        site.wait_reported([second])
        site.model.commit()
        planned, states = site.sweep("plan"), site.states()
        sharing = site.field(dialect)[third]

    name = NAMES[dialect]
    assert {first: name["NODE_FAIL"], second: "running", third: name["DEADLINE"]} == states
    assert {} == planned
    assert sharing == {"shared": "multi_user", "exclusive": 0}[dialect]


@pytest.mark.parametrize(
    ("before", "old", "after", "new"),
    [("1.4.4", "exclusive", "1.5.4", "shared"), ("1.5.4", "shared", "1.4.4", "exclusive")],
)
def test_a_cc_backend_without_a_version_is_recognized_by_its_api_field(
    tmp_path: Path, before: str, old: str, after: str, new: str
) -> None:
    """A build without a version is recognized by its API field for node sharing."""
    with UpgradeSite(tmp_path, version=before, server=NamelessModel) as site:
        first = site.begin()
        site.wait_reported([first])
        site.wait_server(None, old)
        with site.outage():
            second = site.begin()
            site.wait_stored([second])
            site.become(after)
        site.wait_reported([first, second])
        site.wait_server(None, new)
        for job in (first, second):
            site.end(job, "NODE_FAIL")
        site.wait_reported()
        states = site.states()

    assert dict.fromkeys((first, second), NAMES[new]["NODE_FAIL"]) == states


def test_starts_lost_in_the_queue_are_delivered_to_the_next_release(tmp_path: Path) -> None:
    """cc-backend 1.4.1 answers 201 before it stores a start; its restart loses the queue."""
    with UpgradeSite(tmp_path, version="1.4.1") as site:
        site.model.worker = Worker.MANUAL
        job = site.begin()
        site.wait("a promise", lambda: len(site.model.queue) == 1)
        with site.outage():
            site.model.queue.clear()
            site.become("1.5.0")
        site.wait_reported([job])
        states = site.states()

    assert {job: "running"} == states


@pytest.mark.parametrize("keeps_files", [False, True], ids=["package", "wrapper"])
def test_slurm_is_upgraded_twice_while_a_drain_runs(tmp_path: Path, *, keeps_files: bool) -> None:
    """From 22.05 to 24.11 and 26.05: old run files stay; new jobs are read in the new format.

    If squeue is a site's wrapper, whose file does not change, answers show the first upgrade;
    the second is noticed because 26.05 refuses the JSON that 24.11 was asked for.
    """
    with UpgradeSite(tmp_path, series="22.05", version="1.5.4") as site:
        old = site.begin(cores={"n2gpu01": [2, 5]}, gpus={"n2gpu01": [1, 3]}, partition="gpu")
        ended, stays = site.begin(), site.begin()
        site.wait_reported([old, ended, stays])
        before = site.run_file(old)
        site.sweep("apply")

        site.slurm.upgrade("24.11", keeps_files=keeps_files)
        site.end(ended, "NODE_FAIL")
        middle = site.begin(cores={"n2gpu02": [7]}, gpus={"n2gpu02": [0]}, partition="gpu")
        requeued = site.begin()
        site.wait_reported([old, stays, middle, requeued])

        site.slurm.upgrade("26.05", keeps_files=keeps_files)
        site.requeue(requeued)
        new = {sharing: site.begin(sharing=sharing) for sharing in ("OK", "NODE", "USER")}
        site.end(middle, "TIMEOUT")
        site.wait_reported([old, stays, requeued, *new.values()])
        after, planned = site.run_file(old), site.sweep("plan")
        for job in (old, stays, requeued, *new.values()):
            site.end(job)
        site.wait_reported()
        states, rows = site.states(), {row["jobId"]: row for row in site.rows()}

    completed = dict.fromkeys((old, stays, *new.values()), "completed")
    requeues = "cancelled, completed"  # the first run was in the cache, so both are kept
    assert completed | {ended: "node_fail", middle: "timeout", requeued: requeues} == states
    assert (before, {}) == (after, planned)
    assert {"OK": "multi_user", "NODE": "none", "USER": "single_user"} == {
        sharing: rows[job]["shared"] for sharing, job in new.items()
    }
    assert [[2, 5, 10, 13], [GPUS[1], GPUS[3]]] == hardware(rows[old])
    assert [[7, 15], [GPUS[0]]] == hardware(rows[middle])
    assert all(hardware(row)[0] for row in rows.values())


def hardware(row: dict[str, Any]) -> list[Any]:
    """Return hardware threads and accelerators of a row on one host."""
    (resource,) = row["resources"]
    return [resource["hwthreads"], resource.get("accelerators", [])]


RUN_1 = (
    '{"version":1,"job":{"job_id":7,"cluster":"lab","user":"ada","uid":1000,"account":"p1",'
    '"partition":"gpu","state":"RUNNING","submit_time":1767225500,"start_time":1767225600,'
    '"time_limit_minutes":90,"nodes":["n1"],"allocations":[{"name":"n1","cores":[0,4],'
    '"core_count":8,"gres":[{"name":"gpu","type":"a100","count":1,"indices":[2]}]}],"cpus":4,'
    '"gpus":1,"sharing":"shared","restart_count":0},"start_time":1767225600,'
    '"script":"#!/bin/sh\\n","cluster":"alex","started":1767225601,"reported":true,"seen":1767225601}'
)


def test_a_spool_of_format_version_1_is_loaded(tmp_path: Path) -> None:
    """The spool has an open run, and its end and another start as events; all are delivered."""
    world = World(tmp_path)
    world.backend.rows[7, NOON] = "running"
    (tmp_path / "open" / f"7-{NOON}.json").write_text(RUN_1)
    world.slurm.records[7] = world.job(7, state="FAILED", start_time=NOON, end_time=NOON + 60)
    world.slurm.records[8] = world.job(8, start_time=NOON + 30)
    world.now = NOON + 60.0
    for name in (f"1-stop-7-{NOON}-{NOON + 60}-12", "1-start-8-0-0-13"):
        (tmp_path / "new" / name).write_text("exit_code=1:0\nend\n")
        os.utime(tmp_path / "new" / name, (world.now, world.now))
    world.boot()
    world.run()

    assert {(7, NOON): "failed", (8, NOON + 30): "running"} == world.backend.rows
    assert {"open": [f"8-{NOON + 30}.json"]} == world.files()


def test_files_of_a_later_version_are_kept_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a downgrade other runs are delivered, and each such file is logged once."""
    site = CommandSite(tmp_path)
    later = {"todo": "5-100.json", "open": "6-100.json", "new": "2-start-7-0-0-1"}
    for directory, name in later.items():
        (site.spool / directory / name).write_text('{"version": 2}')
    world = World(site.spool)
    for job in (8, 9, 10):
        world.begin(job)
        world.run(5)
        world.end(job)
        world.run(5)
    listed = {entry["id"]: entry["waits"] for entry in site.call("list", "--json").json}

    assert {directory: [name] for directory, name in later.items()} == world.files()
    assert dict.fromkeys([8, 9, 10], "completed") == {
        job: state for (job, _), state in world.backend.rows.items()
    }
    assert set(later.values()) == listed.keys()
    assert all("by a later version of this program" in words for words in listed.values())
    reported = [caplog.text.count(f"{name}: written by a later version") for name in later.values()]
    assert [1, 1, 1] == reported

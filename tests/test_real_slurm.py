"""Jobs on a real Slurm cluster, and the rows that cc-backend has in the end.

All jobs run side by side before the first test (`real_story`), with two drains and a server for
each: 1.4.4 and 1.5.4, which are exchanged while runs wait in the spools.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import real_story
from compatibility import Run, note
from real_expected import reported_row
from real_rows import (
    SHOWN,
    accounted_times,
    reported_texts,
    rows_of,
    threads,
    times,
    wanted_rows,
    wanted_texts,
)
from real_site import HOLD_SECONDS, RealSite
from real_story import A_SECOND, FOR_EVER, FORGERIES, NOTHING, UNTIL_STORED, Story
from slurm_lab import RELEASES, Lab, Settings, require_slurm, require_tree

HOOKS = Path(__file__).resolve().parent.parent / "hooks"
SPOOLS = ("old", "new")
pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module", params=RELEASES)
def story(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Story]:
    """Run one cluster whose controller purges jobs after 20 s, and run all jobs of the story."""
    require_slurm()
    tree = require_tree(request.param)
    settings = Settings(hooks=HOOKS, options={"MinJobAge": "20"}, spools=SPOOLS, tree=tree)
    roots = [tmp_path_factory.mktemp(name) for name in SPOOLS]
    with (
        Lab(settings) as lab,
        RealSite(lab, "1.4.4", roots[0], spool="old") as old,
        RealSite(lab, "1.5.4", roots[1], spool="new") as new,
    ):
        reported = Story(lab, (old, new))
        real_story.play(reported)
        yield reported


@pytest.fixture(params=[0, 1], ids=["1.4.4", "1.5.4"])
def site(story: Story, request: pytest.FixtureRequest) -> RealSite:
    """Return the site whose server began as a release."""
    return story.sites[request.param]


@pytest.mark.parametrize("name", SHOWN)
def test_a_job_is_reported_as_slurm_has_it(site: RealSite, story: Story, name: str) -> None:
    """User, partition, nodes, threads, GPUs, sharing, walltime, times and state are Slurm's."""
    rows = rows_of(site, story, name)

    assert wanted_rows(site, story, rows) == [reported_row(row) for row in rows]
    assert {SHOWN[name]} == {(row["user"], row["jobState"]) for row in rows}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("batch", {"user": "alice", "project": "k2000", "walltime": 5400, "numHwthreads": 2}),
        ("whole", {"partition": "whole", "numHwthreads": 16, "numNodes": 1}),
        ("two nodes", {"numNodes": 2, "numHwthreads": 4, "project": "k2000"}),
        ("typed", {"numNodes": 2, "numAcc": 4, "partition": "gpu"}),
        ("timeout", {"walltime": 60}),
    ],
)
def test_a_job_is_reported_as_it_was_submitted(
    site: RealSite, story: Story, name: str, expected: dict[str, Any]
) -> None:
    """The row has the project, partition, walltime and sizes that the job was submitted with."""
    (row,) = rows_of(site, story, name)

    assert expected == {key: row[key] for key in expected}


def test_gpus_are_reported_on_both_nodes(site: RealSite, story: Story) -> None:
    """A job of two nodes requests one GPU on each, without a type."""
    rows = rows_of(site, story, "untyped")

    nodes = [node for row in rows for node in row["resources"]]
    assert ["n2gpu01", "n2gpu02"] == [node["hostname"] for node in nodes]
    assert [1, 1] == [len(node["accelerators"]) for node in nodes]


@pytest.mark.parametrize(
    ("name", "script"),
    [("batch", A_SECOND), ("srun", None), ("timeout", FOR_EVER), ("away with gpu", UNTIL_STORED)],
)
def test_job_name_script_and_description_are_reported(
    site: RealSite, story: Story, name: str, script: str | None
) -> None:
    """Name, script and description are those of Slurm; a job of srun has no script."""
    rows = rows_of(site, story, name)

    assert wanted_texts(story, rows, script) == reported_texts(rows)
    assert all(str(row["jobId"]) in row["metaData"]["slurmInfo"] for row in rows)


@pytest.mark.parametrize(("name", "count"), [("array", 20), ("killed", 100)])
def test_every_task_of_an_array_is_a_job(
    site: RealSite, story: Story, name: str, count: int
) -> None:
    """Each task has a row with its own id; during the array of 100 the drain was often killed."""
    rows = rows_of(site, story, name)

    assert wanted_rows(site, story, rows) == [reported_row(row) for row in rows]
    assert wanted_texts(story, rows, A_SECOND) == reported_texts(rows)
    assert set(map(str, range(count))) == {row["metaData"]["arrayTaskId"] for row in rows}


def test_the_drain_was_killed_at_least_8_times(story: Story) -> None:
    """Without kills the rows of the array `killed` would not prove that no task is lost."""
    assert story.seen["", "kills"] >= 8


def test_every_component_of_a_het_job_is_a_job(site: RealSite, story: Story) -> None:
    """The row of each component has the leader's job id and the offset in its metadata."""
    leader = story.one("het")

    rows = site.wait_closed(leader, leader + 1)

    assert wanted_rows(site, story, rows) == [reported_row(row) for row in rows]
    assert [(str(leader), "0"), (str(leader), "1")] == [
        (row["metaData"]["hetJobId"], row["metaData"]["hetJobOffset"]) for row in rows
    ]


def test_runs_of_a_requeued_job_are_never_merged(site: RealSite, story: Story) -> None:
    """Each run is started and stopped on its own; the row of the second run stays."""
    job = story.one("requeued")

    rows = rows_of(site, story, "requeued")

    first, second = story.runs[job]
    reported = {
        call: [document for _, document in site.reported(call)[job]]
        for call in ("start_job", "stop_job", "delete_job")
    }
    assert wanted_rows(site, story, rows) == [reported_row(row) for row in rows]
    assert [first.start, second.start] == [start["startTime"] for start in reported["start_job"]]
    assert [(first.start, first.reported_end), (second.start, second.reported_end)] == [
        (stop["startTime"], stop["stopTime"]) for stop in reported["stop_job"]
    ]
    assert [first.start] == [deleted["startTime"] for deleted in reported["delete_job"]]


def test_jobs_that_ran_without_a_drain_are_reported(site: RealSite, story: Story) -> None:
    """The events waited in the spool; Slurm still has all values but the indices of GPUs."""
    rows = rows_of(site, story, "alone")

    assert [accounted_times(story, job) for job in story.jobs["alone"]] == [*map(times, rows)]
    assert [(2, None), (2, 2), (8, None)] == [
        (row["numHwthreads"], row.get("numAcc")) for row in rows
    ]
    assert [2, 2, 8] == [threads(row) for row in rows]
    assert {f"#!/bin/sh\n{NOTHING}\n"} == {row["metaData"]["jobScript"] for row in rows}
    assert 0 == story.seen[site.name, "exit code"]


def test_jobs_survive_an_outage_longer_than_min_job_age(site: RealSite, story: Story) -> None:
    """The server was down for longer than MinJobAge (20 s); all values of 200 jobs were kept."""
    rows = rows_of(site, story, "away")

    is_new = site.server.model.is_new
    facts = {
        "cluster": "lab",
        "user": "bob",
        "project": "k2000",
        "partition": "crowd",
        "arrayJobId": story.one("away"),
        "numNodes": 1,
        "numHwthreads": 2,
        "walltime": 3600,
        **({"shared": "multi_user"} if is_new else {"exclusive": 0}),
    }
    assert [facts] * 200 == [{key: row.get(key) for key in facts} for row in rows]
    assert [accounted_times(story, row["jobId"]) for row in rows] == [*map(times, rows)]
    assert [story.runs[row["jobId"]][0].nodes for row in rows] == [
        row["resources"][0]["hostname"] for row in rows
    ]
    assert {2} == {threads(row) for row in rows}
    assert {f"#!/bin/sh\n{NOTHING}\n"} == {row["metaData"]["jobScript"] for row in rows}


def test_few_requests_are_made_while_the_server_is_down(site: RealSite, story: Story) -> None:
    """During the outage there are at most 20 probes and 18 attempts of starts and stops."""
    before = story.seen[site.name, "requests before"]
    after = story.seen[site.name, "requests after"]
    paths = [exchange.path for exchange in site.server.log[before:after]]
    probes = paths.count("/login")
    tries = sum(path.startswith("/api/jobs/st") for path in paths)

    assert 1 <= probes <= 20, paths
    # Starts and stops have two connections each, on which two runs have to fail, with two attempts
    # each; a probe may let one more run through.
    assert tries <= 18, paths


def test_an_early_stop_is_held_for_a_server_with_a_job_cache(site: RealSite, story: Story) -> None:
    """From 1.5.0 on cc-backend may close another job if a stop comes before its row is listed."""
    rows_of(site, story, "alone")
    starts, stops = site.reported("start_job"), site.reported("stop_job")

    waits = [stops[job][0][0] - starts[job][0][0] for job in story.jobs["alone"]]

    shortest = HOLD_SECONDS - 1  # the time of a start is kept in whole seconds
    assert (site.version == "1.5.4") == (min(waits) >= shortest)


def test_the_end_summary_has_slurms_state(site: RealSite, story: Story) -> None:
    """Each end summary at cc-backend begins with the state of the job's last run in Slurm."""
    rows = [row for name in story.jobs for row in rows_of(site, story, name)]
    found = {row["jobId"]: row["metaData"]["endSummary"] for row in rows if _has_summary(row)}
    states = {job: story.runs[job][-1].state for job in found}

    assert found
    assert [] == [job for job in found if not found[job].lower().startswith(states[job].lower())]


def _has_summary(row: dict[str, Any]) -> bool:
    return "endSummary" in row["metaData"]


@pytest.mark.parametrize("number", range(len(FORGERIES)))
def test_a_forged_text_changes_no_other_value(site: RealSite, story: Story, number: int) -> None:
    """A name, comment or directory that looks like Slurm's output changes no value of the row."""
    job = story.jobs["forged"][number]

    (row,) = site.wait_closed(job)

    run = story.runs[job][0]
    (node,) = row["resources"]
    assert {
        "jobId": job,
        "cluster": "lab",
        "user": "alice",
        "project": "k1000",
        "partition": "cpu",
        "numNodes": 1,
        "numHwthreads": 2,
        "walltime": 3600,
        "startTime": run.start,
        "stopTime": run.reported_end,
        "jobState": "completed",
        "resources": [{"hostname": run.nodes, "hwthreads": node["hwthreads"]}],
        **({"exclusive": 0} if site.version == "1.4.4" else {"shared": "multi_user"}),
    } == reported_row(row)
    assert 2 == threads(row)


def test_the_server_has_one_row_for_the_last_run_of_each_job(site: RealSite, story: Story) -> None:
    """No other row is left: the first run of the requeued job was replaced."""
    for name in story.jobs:
        rows_of(site, story, name)

    assert {(job, runs[-1].start) for job, runs in story.runs.items()} == {
        (key[0], key[2]) for key in site.server.model.job
    }
    series = ".".join(re.findall(r"\d+", story.lab.run("squeue", "--version").stdout)[:2])
    note(Run(series, site.server.model.version, "real", len(site.server.model.job)))


def test_no_start_and_no_stop_is_delivered_twice(site: RealSite, story: Story) -> None:
    """Each run has one accepted start and one accepted stop."""
    for call in ("start_job", "stop_job"):
        reported = site.reported(call)
        assert {job: len(runs) for job, runs in story.runs.items()} == {
            job: len(documents) for job, documents in reported.items()
        }


def test_the_spool_is_empty_in_the_end(site: RealSite, story: Story) -> None:
    """After all jobs have ended no pending run and no dead letter is left."""
    for name in story.jobs:
        rows_of(site, story, name)

    assert [] == site.files()

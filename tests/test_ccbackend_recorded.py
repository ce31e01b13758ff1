"""Every recorded answer of a real cc-backend gets the outcome that its situation requires."""

from __future__ import annotations

import json

import pytest
from backend_version import parse_version
from recorded_backend import Recorded, releases, scenarios
from recorded_situations import BEFORE, LATER, START, TABLE, asked, expected, row_for, situation

from ccbackend.accelerators import accelerator_map
from ccbackend.answer_rules import classify
from ccbackend.dialects import end_state
from ccbackend.outcomes import ApiCall, Outcome, Reason
from ccbackend.payload import start_payload
from ccbackend.replies import JobListError, graphql_rows, rest_rows
from ccbackend.site_map import SiteMap
from ccbackend.topology import clusters_of_json
from ccbackend.version import (
    FIRST_WITH_CLUSTERS,
    Dialect,
    Version,
    dialect_of_404,
    server_info,
    version_of_login_page,
)
from slurm.job import Gres, Job, NodeAllocation, Sharing

EVERY = pytest.mark.parametrize("release", releases())


def found(each: Recorded, call: ApiCall, version: Version | None) -> Outcome:
    """Return the outcome that the answer is classified as."""
    return classify(call, each.answer.status, each.answer.body, version).outcome


@EVERY
def test_every_recorded_answer_gets_the_expected_outcome(release: str) -> None:
    """The outcome follows from call, status, text and version of the answer alone."""
    wrong = [
        (str(each), each.answer.status, each.answer.body[:120], expected(each, call))
        for each, call in asked(release)
        if found(each, call, parse_version(release)) is not expected(each, call)
    ]

    assert wrong == []


def test_every_row_of_the_outcome_table_is_used() -> None:
    """A row of the table that matches no recorded answer would hide a mistake."""
    used = {
        row_for(each.scenario, situation(each, call), parse_version(each.version))
        for release in releases()
        for each, call in asked(release)
    }

    assert [TABLE[row] for row in range(len(TABLE)) if row not in used] == []


def test_all_recorded_releases_are_tested() -> None:
    """There are thirteen plain releases and four that were built with a later library."""
    assert len(releases()) == 17
    assert sum(1 for release in releases() for _ in asked(release)) > 9000


@EVERY
def test_the_outcome_needs_the_version_in_two_cases_only(release: str) -> None:
    """A stop while the start is queued, and a delete of an unknown row, need the version."""
    unsure = {(START, LATER), (LATER, BEFORE)}
    wrong = [
        str(each)
        for each, call in asked(release)
        if (guess := found(each, call, None)) is not expected(each, call)
        and (guess, expected(each, call)) not in unsure
    ]

    assert wrong == []


@EVERY
def test_the_version_is_on_the_login_page(release: str) -> None:
    """Every recorded release shows its version there."""
    (page,) = scenarios(release)["login-page"].exchanges

    assert version_of_login_page(page.answer.body) == parse_version(release)


@EVERY
def test_the_answer_to_an_unknown_path_shows_the_dialect(release: str) -> None:
    """A 404 below /api, without a token, shows if sharing is sent as `shared` or `exclusive`."""
    dialects = {
        dialect_of_404(each.answer.status, each.answer.body)
        for each in scenarios(release)["unknown-path-unauthenticated"].exchanges
        if each.request.method == "GET" and each.request.path.startswith("/api/non")
    }

    assert dialects == {server_info(parse_version(release)).dialect}


@EVERY
def test_an_incomplete_graphql_job_list_is_refused(release: str) -> None:
    """A complete list gives the three running jobs; a page with fewer than the count is refused."""
    listed: dict[str, object] = {}
    for each in scenarios(release)["graphql-running"].exchanges:
        try:
            rows = graphql_rows(each.answer.body)
            listed[each.note] = sorted(row.job_id for row in rows)
        except JobListError as error:
            listed[each.note] = error.count

    assert listed["running"] == [6001, 6005, 6007]
    assert listed["by id"] == [6001, 6003]
    assert listed["running, small page"] == 4


@EVERY
def test_rest_job_lists_are_read(release: str) -> None:
    """One big page has the running jobs of both clusters."""
    (big,) = (
        each.answer.body
        for each in scenarios(release)["list-running"].exchanges
        if each.note == "running, big page"
    )

    assert sorted(row.job_id for row in rest_rows(big)) == [6001, 6002, 6005, 6007]
    assert min(row.start_time for row in rest_rows(big)) == 1767225600


@EVERY
def test_clusters_show_nodes_threads_and_accelerators(release: str) -> None:
    """cc-backend has the cluster list from 1.3.0 on; older releases answer 404."""
    answer = scenarios(release)["clusters"].exchanges[0].answer
    if parse_version(release) < FIRST_WITH_CLUSTERS:
        assert answer.status == 404
        return
    lab, other = clusters_of_json(json.loads(answer.body))
    gpu, cpu = lab.subcluster("n2gpu02"), lab.subcluster("n2cn004")

    assert (lab.name, other.name) == ("lab", "other")
    assert gpu is not None
    assert gpu.topology is not None
    assert gpu.topology.cores == tuple((core, core + 8) for core in range(8))
    assert gpu.topology.accelerators[3] == "00000000:3D:00.0"
    assert (cpu is not None, lab.subcluster("n2cn005")) == (True, None)
    assert other.subcluster("a10") is not None


@pytest.mark.parametrize(
    ("dialect", "release"), [(Dialect.EXCLUSIVE, "1.4.4"), (Dialect.SHARED, "1.5.4")]
)
def test_our_names_of_end_states_are_accepted_by_the_server(dialect: Dialect, release: str) -> None:
    """Every name that we may send was answered with 200; no other names are sent."""
    taken = {
        json.loads(each.request.body or b"{}").get("jobState")
        for each in scenarios(release)["stop-ok"].exchanges
        if each.note.startswith("jobState") and each.answer.status == 200
    }
    words = ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "OUT_OF_MEMORY"]
    words += ["NODE_FAIL", "BOOT_FAIL", "DEADLINE", "REQUEUED", "SPECIAL_EXIT", "ODD"]
    names = {end_state(word, dialect) for word in words}

    assert names <= taken - {"running", "pending", "suspended", "stopped"}


@EVERY
def test_a_full_start_contains_no_field_that_the_server_refuses(release: str) -> None:
    """Our fields are among those of the recorded start that every release accepted."""
    full = json.loads(scenarios(release)["start-full"].exchanges[0].request.body or b"{}")
    server = server_info(parse_version(release))
    job = Job(
        job_id=1,
        user="ada",
        account="p",
        partition="main",
        start_time=1767225600,
        time_limit_minutes=5,
        nodes=("n2gpu01",),
        allocations=(
            NodeAllocation(
                name="n2gpu01", cores=(0,), gres=(Gres(name="gpu", count=1, indices=(0,)),)
            ),
        ),
        cpus=2,
        sharing=Sharing.NODE,
        array_job_id=1,
    )
    site = SiteMap(
        cluster="lab",
        accelerators=accelerator_map({"n2gpu": {"0": "00000000:0A:00.0"}}, {}),
        assume_core_ids=True,
    )
    document = start_payload(job, mapping=site, dialect=server.dialect, metadata={"jobName": "x"})

    assert set(document) <= set(full) | {server.dialect.value}
    assert set(document["resources"][0]) <= set(full["resources"][0])


@EVERY
def test_get_start_job_shows_whether_the_job_api_is_on(release: str) -> None:
    """From 1.5.0 on 405 means on; older releases answer otherwise, but cannot switch it off."""
    found = {
        classify(ApiCall.JOB_API, each.answer.status, each.answer.body).reason
        for each in scenarios(release)["wrong-method"].exchanges
        if (each.request.method, each.request.path) == ("GET", "/api/jobs/start_job/")
    }
    may_be_off = server_info(parse_version(release)).may_lack_job_api

    assert (found == {Reason.JOB_API_ON}) is may_be_off


@pytest.mark.parametrize("release", [name for name in releases() if name.startswith("1.5.")])
def test_the_path_for_starts_is_missing_in_nats_mode(release: str) -> None:
    """cc-backend 1.5 in NATS mode has no path /api/jobs/start_job/ for any method."""
    found = {
        classify(ApiCall.JOB_API, each.answer.status, each.answer.body).reason
        for each in scenarios(release)["nats-mode"].exchanges
        if each.request.path == "/api/jobs/start_job/"
    }

    assert {Reason.API_OFF} == found

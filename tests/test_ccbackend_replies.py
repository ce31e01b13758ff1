"""Job lists of cc-backend: a list is complete, or it is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ccbackend.replies import (
    BackendRow,
    JobListError,
    graphql_jobs,
    graphql_rows,
    graphql_running,
    rest_rows,
    rest_running,
    rest_window,
)

ITEM = {
    "id": 1,
    "jobId": 7,
    "cluster": "lab",
    "startTime": "2026-01-01T01:00:00+01:00",
    "state": "failed",
}
JOB = {"id": 1, "jobId": 7, "cluster": "lab", "startTime": 1767225600, "jobState": "failed"}
ROW = BackendRow(7, "lab", 1767225600, "failed", 1)


def graphql(items: object, count: object = 1) -> str:
    """Return a GraphQL answer."""
    return json.dumps({"data": {"jobs": {"count": count, "items": items}}})


def rest(jobs: object, items: int = 10, page: int = 1) -> str:
    """Return a REST answer."""
    return json.dumps({"jobs": jobs, "items": items, "page": page})


def test_times_are_unix_seconds_whatever_the_servers_zone() -> None:
    """GraphQL sends times with a UTC offset, REST sends numbers."""
    assert graphql_rows(graphql([ITEM])) == (ROW,)
    assert rest_rows(rest([JOB]), 10) == (ROW,)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "1"},
        {"jobId": True},
        {"jobId": None},
        {"cluster": 3},
        {"startTime": "2026-01-01T01:00:00"},
        {"startTime": "yesterday"},
        {"startTime": 1.5},
        {"state": None},
    ],
)
def test_one_invalid_row_makes_the_job_list_invalid(change: dict[str, Any]) -> None:
    """Other rows of the list may be wrong too."""
    with pytest.raises(JobListError, match="not a job list"):
        graphql_rows(graphql([ITEM | change]))


@pytest.mark.parametrize("change", [{"id": "1"}, {"jobId": True}, {"startTime": 1.5}])
def test_one_invalid_row_of_rest_makes_the_job_list_invalid(change: dict[str, Any]) -> None:
    """A row with a text as id, a boolean as job id or a fractional time is refused."""
    with pytest.raises(JobListError, match="not a job list"):
        rest_rows(rest([JOB | change]), 10)


@pytest.mark.parametrize("item", [[7, "lab", ITEM["startTime"], "failed", 1], 7, None, "x"])
def test_a_row_that_is_not_an_object_is_refused(item: object) -> None:
    """A list with the right values in the right order is refused too."""
    with pytest.raises(JobListError, match="not a job list"):
        graphql_rows(graphql([item]))


def test_a_job_list_with_only_white_space_is_empty() -> None:
    """Some JSON writers put a space between the brackets."""
    assert () == graphql_rows(graphql([], 0).replace("[]", "[ ]"))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"data":null}', '{"data":{"jobs":null}}', graphql(None), graphql([{}]),
     "[" * 50_000, graphql([ITEM], None), '{"data":{"jobs":{"count":0}}}'],
)  # fmt: skip
def test_a_malformed_answer_is_not_an_empty_job_list(text: str) -> None:
    """Both readers, GraphQL and REST, refuse an answer of another shape."""
    with pytest.raises(JobListError, match="not a job list"):
        graphql_rows(text)
    with pytest.raises(JobListError, match="not a job list"):
        rest_rows(text)


def test_an_answer_with_errors_and_data_is_refused() -> None:
    """An unknown state in a filter makes GraphQL answer 200 with `errors` and no rows."""
    with pytest.raises(JobListError, match="the answer contains errors"):
        graphql_rows('{"errors":[{"message":"x"}],"data":{"jobs":{"count":0,"items":[]}}}')


def test_the_count_of_an_incomplete_job_list_is_in_the_error() -> None:
    """The list has 1 of 5 jobs; the next query can ask for 5."""
    with pytest.raises(JobListError, match="the list has only 1 of 5 jobs") as caught:
        graphql_rows(graphql([ITEM], 5))
    assert caught.value.count == 5


def test_a_full_rest_page_counts_as_incomplete() -> None:
    """REST sends no total: a page with as many jobs as requested may miss others."""
    with pytest.raises(JobListError, match="the list has the maximum of 1 jobs"):
        rest_rows(rest([JOB], items=1), 1)


@pytest.mark.parametrize(("items", "page"), [(25, 1), (10, 0)])
def test_a_page_that_was_not_requested_is_refused(items: int, page: int) -> None:
    """Old servers answer page 0 with an empty list and status 200."""
    with pytest.raises(JobListError, match=f"page {page} and {items} jobs per page"):
        rest_rows(rest([], items, page), 10)


def test_graphql_queries_request_five_fields_on_one_page() -> None:
    """Every cc-backend from 1.0.0 on accepts these fields."""
    running, job = graphql_running("lab", 100_000), graphql_jobs([7], "lab", 5)

    assert "items{ id jobId cluster startTime state }" in running["query"]
    assert running["variables"] == {
        "f": [{"cluster": {"eq": "lab"}, "state": ["running"]}],
        "p": {"itemsPerPage": 100_000, "page": 1},
    }
    assert job["variables"] == {
        "f": [{"cluster": {"eq": "lab"}, "jobId": {"in": ["7"]}}],
        "p": {"itemsPerPage": 5, "page": 1},
    }


def test_cluster_names_are_quoted_in_rest_paths() -> None:
    """A cluster's name cannot add a parameter."""
    assert rest_running("a&b") == (
        "/api/jobs/?state=running&cluster=a%26b&items-per-page=100000&page=1"
    )
    assert rest_window("a/b", 9) == (
        "/api/jobs/?cluster=a%2Fb&start-time=9-9&items-per-page=100000&page=1"
    )

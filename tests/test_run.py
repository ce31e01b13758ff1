"""Runs: their names and the directory they belong to."""

from __future__ import annotations

from typing import Any

import pytest

from slurm.job import Job
from spool.errors import BadFileError
from spool.files.layout import Directory
from spool.files.run import End, EndSource, Run, parse_run_name, run_name, waiting_since

OVER = End(time=200, state="COMPLETED", source=EndSource.CONTROLLER)


def run(**facts: Any) -> Run:
    """Return a run of job 5."""
    return Run(job=Job(job_id=5), start_time=100, **facts)


@pytest.mark.parametrize(
    ("facts", "directory"),
    [
        ({}, Directory.TODO),
        ({"end": OVER}, Directory.TODO),
        ({"started": 100}, Directory.OPEN),
        ({"started": 100, "end": OVER}, Directory.TODO),
        ({"reported": False}, Directory.OPEN),
        ({"reported": False, "end": OVER}, Directory.OPEN),
    ],
)
def test_a_run_is_in_todo_while_a_request_is_pending(
    facts: dict[str, Any], directory: Directory
) -> None:
    """A started run without an end, and an excluded run, are in `open/`."""
    assert directory == run(**facts).directory


@pytest.mark.parametrize(
    ("facts", "since"),
    [
        ({}, 100),
        ({"seen": 150}, 150),
        ({"seen": 150, "end": OVER}, 150),
        ({"seen": 150, "started": 170}, 170),
        ({"seen": 150, "started": 170, "end": OVER}, 200),
        ({"seen": 250, "started": 270, "end": OVER}, 250),
        ({"seen": 150, "reported": False}, 150),
    ],
)
def test_a_run_waits_since_its_next_step_became_due(facts: dict[str, Any], since: float) -> None:
    """The start is due when the run is seen, the end after the start, the stop after the end.

    A run does not wait before it is seen.
    """
    assert since == waiting_since(run(**facts))


def test_a_run_file_is_named_by_job_id_and_start() -> None:
    """The file of job 5 with the start time 100 is `5-100.json`."""
    assert ("5-100.json", 5) == (run().name, run().job_id)


def test_a_run_file_name_is_parsed() -> None:
    """`parse_run_name` returns the job id and the start time that `run_name` was given."""
    assert (5, 100) == parse_run_name(run_name(5, 100))


@pytest.mark.parametrize(
    "name",
    [
        *("", ".json", "5-.json", "5-100", "5-1-1.json", "5-0.json", "0-5.json", "05-1.json"),
        *("5-1.json\n", "5-1.json.json", "5-1000000000000.json", "5-٣.json", "5-².json"),
    ],
)
def test_an_invalid_run_file_name_is_refused(name: str) -> None:
    """The message says that the name must have the form JOBID-START."""
    with pytest.raises(BadFileError, match="JOBID-START"):
        parse_run_name(name)

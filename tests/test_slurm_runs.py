"""The stage of a run that a record of Slurm shows, and the runs in accounting's rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm.job import Job, Sharing
from spool.resolve.slurm_runs import (
    RunStage,
    match_start,
    run_stage,
    runs_of_accounting,
    same_start,
)

RUNNING = Job(job_id=5, state="RUNNING", start_time=1000, nodes=("n1",))
OVER = replace(RUNNING, state="COMPLETED", end_time=1060)


@pytest.mark.parametrize(
    ("expected", "job"),
    [
        (RunStage.LIVE, RUNNING),
        (RunStage.LIVE, replace(RUNNING, state="SUSPENDED")),
        (RunStage.LIVE, replace(RUNNING, flags=("COMPLETING",))),
        (RunStage.OTHER_CLUSTER, replace(RUNNING, state="REVOKED")),
        (RunStage.OTHER_CLUSTER, replace(RUNNING, flags=("REVOKED",))),
        (RunStage.NOT_STARTED, replace(RUNNING, state="PENDING")),
        (RunStage.CONFIGURING, replace(RUNNING, flags=("CONFIGURING",))),
        (RunStage.CONFIGURING, replace(RUNNING, flags=("POWER_UP_NODE",))),
        (RunStage.UNSETTLED, replace(RUNNING, start_time=None)),
        (RunStage.UNSETTLED, replace(RUNNING, nodes=())),
        (RunStage.UNSETTLED, replace(RUNNING, flags=("RESIZING",))),
        (RunStage.UNSETTLED, replace(RUNNING, state=None, flags=("COMPLETING",))),
        (RunStage.ENDED, OVER),
        (RunStage.ENDED, replace(OVER, state="A_WORD_OF_LATER_RELEASES")),
        (RunStage.NOT_STARTED, replace(OVER, start_time=None)),
        (RunStage.UNSETTLED, replace(OVER, end_time=None)),
        (RunStage.NOT_STARTED, replace(OVER, end_time=1000, nodes=())),
        (RunStage.ENDED, replace(OVER, nodes=())),
        (RunStage.ENDED, replace(OVER, end_time=1000, nodes=(), flags=("COMPLETING",))),
    ],
)
def test_a_record_of_slurm_gives_the_stage_of_its_run(expected: RunStage, job: Job) -> None:
    """State, flags, times and nodes decide, for example, between not started, live and ended."""
    assert expected is run_stage(job)


@pytest.mark.parametrize(("other", "expected"), [(1005, True), (995, True), (1006, False)])
def test_start_times_within_five_seconds_are_of_one_run(other: int, *, expected: bool) -> None:
    """The start times of one run in controller and accounting may differ."""
    assert expected is same_start(1000, other)


@pytest.mark.parametrize(
    ("expected", "candidates"),
    [(1000, [998, 1000]), (1003, [1003, 2000]), (None, [998, 1003]), (None, [2000]), (None, [])],
)
def test_a_start_is_matched_if_that_is_unambiguous(
    expected: int | None, candidates: list[int]
) -> None:
    """The equal start time matches, otherwise the only one within 5 s."""
    assert expected == match_start(1000, candidates)


def test_accounting_rows_give_the_runs_of_a_job_id() -> None:
    """The oldest run is first; rows of other jobs and rows that never ran are omitted."""
    later = replace(OVER, start_time=2000, end_time=2060)
    rows = [
        later,
        OVER,
        replace(OVER, job_id=6),
        replace(OVER, start_time=None),
        replace(OVER, state="PENDING"),
        replace(later, start_time=3000, state="RUNNING", end_time=None),
    ]

    assert [1000, 2000, 3000] == [run.start_time for run in runs_of_accounting(rows, 5)]


def test_the_rows_of_a_resized_run_are_one_run() -> None:
    """Three rows of accounting give the first start, the first nodes and the last end."""
    rows = [
        replace(OVER, state="RESIZING", nodes=("n1", "n2")),
        replace(OVER, start_time=1060, end_time=1100, state="RESIZING"),
        replace(OVER, start_time=1100, end_time=1200),
    ]

    assert [(1000, 1200, ("n1", "n2"))] == [
        (run.start_time, run.end_time, run.nodes) for run in runs_of_accounting(rows, 5)
    ]


@pytest.mark.parametrize("start", [1000, 1060])
def test_a_resized_run_has_all_of_its_first_resources(start: int) -> None:
    """Nodes, CPUs, GPUs and sharing are of the first row; up to 23.02 both rows start alike."""
    first = replace(
        OVER,
        state="RESIZING",
        submit_time=990,
        nodes=("n1", "n2"),
        cpus=4,
        gpus=2,
        sharing=Sharing.NODE,
    )
    rest = replace(
        OVER,
        submit_time=1060,
        start_time=start,
        end_time=1200,
        cpus=2,
        gpus=1,
        sharing=Sharing.SHARED,
    )

    assert (replace(first, state="COMPLETED", end_time=1200),) == runs_of_accounting(
        [first, rest], 5
    )


def test_a_resized_run_has_its_last_nodes_if_the_first_are_unknown() -> None:
    """Nodes and CPU count are then those of the last row."""
    rows = [
        replace(OVER, state="RESIZING", nodes=(), cpus=4),
        replace(OVER, start_time=1060, end_time=1200, cpus=2),
    ]

    assert [(1000, ("n1",), 2)] == [
        (run.start_time, run.nodes, run.cpus) for run in runs_of_accounting(rows, 5)
    ]


def test_a_run_long_after_a_resize_is_another_run() -> None:
    """A row that starts 940 s after the end of the resized row does not continue that run."""
    rows = [replace(OVER, state="RESIZING"), replace(OVER, start_time=2000, end_time=2060)]

    assert [2000] == [run.start_time for run in runs_of_accounting(rows, 5)]


@pytest.mark.parametrize(
    ("starts", "expected"), [({1000}, [1000]), ({1000, 1010}, []), ({1060}, []), (set(), [])]
)
def test_a_row_without_a_start_gets_the_only_matching_start(
    starts: set[int], expected: list[int]
) -> None:
    """The start is that of an unfinished run, between the row's submission and end."""
    row = replace(OVER, start_time=None, submit_time=990)

    assert expected == [run.start_time for run in runs_of_accounting([row], 5, starts=starts)]


def test_a_row_without_a_start_does_not_get_the_next_runs_start() -> None:
    """A requeued job runs again after 1 s: the start of its second run has its own row."""
    first = replace(OVER, start_time=None, submit_time=990, end_time=1001, state="REQUEUED")
    second = replace(OVER, start_time=1002, submit_time=1001)
    found = runs_of_accounting([first, second], 5, starts={1000, 1002})

    assert [(1000, 1001), (1002, 1060)] == [(run.start_time, run.end_time) for run in found]

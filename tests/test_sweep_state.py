"""The state that a sweep stores for the next one."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from sweep_values import NOON, OLD, over, start, stop

from spool.files.run_id import RunId
from spool.files.sweep_state import (
    HeldBackStops,
    SweepMemory,
    SweepState,
    SweepSummary,
    begin_sweep_summary,
    read_sweep_state,
    read_sweep_summary,
    write_sweep_state,
)
from sweeper.sweep import REMEMBER_STARTS_SECONDS, next_memory
from sweeper.values import Drift, Plan, Start

STATE = SweepState(
    mark=NOON,
    cluster="lab",
    running_baseline=12,
    held_stops=HeldBackStops(time=5, guards=("stops",), stops=frozenset({RunId(7, OLD)})),
    memory=SweepMemory(
        sweep=3,
        young_stops=frozenset({RunId(1, 2)}),
        unproven_since={RunId(3, 4): 5},
        stops_queued={RunId(5, 6): 2},
        starts_queued={RunId(7, 8): 9},
    ),
)


@pytest.mark.parametrize("state", [SweepState(), STATE])
def test_a_written_state_is_read_again(tmp_path: Path, state: SweepState) -> None:
    """All fields of the state are kept in sweep.json."""
    write_sweep_state(tmp_path, state, SweepSummary(started=1.0, finished=2.5, pid=7))

    assert read_sweep_state(tmp_path) == state


def test_sweep_json_has_the_result_of_the_sweep(tmp_path: Path) -> None:
    """`status` and `check` read the refusal, the failed checks and the differences."""
    summary = SweepSummary(
        started=1.0, finished=None, pid=7, refused=True, guards=("boot",), drift={"start": 1}
    )
    write_sweep_state(tmp_path, STATE, summary)

    document = json.loads((tmp_path / "sweep.json").read_text())

    assert {"stops_queued", "starts_queued", "unproven_since", "young_stops"} <= document.keys()
    assert document["finished"] is None
    assert document["duration_seconds"] is None
    assert (document["refused"], document["guards"]) == (True, ["boot"])
    assert (document["drift"], document["mark"]) == ({"start": 1}, NOON)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"mark": "soon"}', '{"held": {}}', '{"told": 1}',
                                  '{"young": ["x"]}'])  # fmt: skip
def test_a_damaged_state_file_counts_as_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """The state is then the same as before the first sweep, and a warning is logged."""
    (tmp_path / "sweep.json").write_text(text)

    assert read_sweep_state(tmp_path) == SweepState()
    assert ["WARNING"] == [record.levelname for record in caplog.records]


def test_the_state_remembers_queued_changes_and_young_stops() -> None:
    """The next sweep needs them; entries that are too old are removed."""
    memory = SweepMemory(
        sweep=20,
        stops_queued={RunId(1, 1): 10, RunId(2, 2): 11},
        starts_queued={
            RunId(3, 3): NOON - REMEMBER_STARTS_SECONDS,
            RunId(4, 4): NOON - REMEMBER_STARTS_SECONDS + 1,
        },
    )
    drift = Drift(young_stops={RunId(9, 9)}, unproven_since={RunId(8, 8): 7}, skipped=Counter())
    ended = Start(job=over(6), why="unseen")
    plan = Plan(changes=(start(5), ended, stop(7), stop(11)))

    after = next_memory(memory, drift, plan, [RunId(5, OLD), RunId(6, OLD), RunId(7, OLD)], NOON)

    assert after == SweepMemory(
        sweep=21,
        young_stops=frozenset({RunId(9, 9)}),
        unproven_since={RunId(8, 8): 7},
        stops_queued={RunId(2, 2): 11, RunId(7, OLD): 21},
        starts_queued={RunId(4, 4): NOON - REMEMBER_STARTS_SECONDS + 1, RunId(6, OLD): NOON},
    )


LAST = SweepSummary(
    started=1.0, finished=2.0, pid=7, refused=True, guards=("rights",), drift={"start": 1}
)


def test_the_summary_of_the_last_sweep_is_read(tmp_path: Path) -> None:
    """The summary includes the number of stops that are held for the next sweep."""
    write_sweep_state(tmp_path, STATE, LAST)

    summary = read_sweep_summary(tmp_path)

    assert summary == replace(LAST, held_stops=1, held_guards=("stops",))
    assert LAST.duration_seconds == 1.0


def test_without_a_sweep_there_is_no_summary(tmp_path: Path) -> None:
    """sweep.json is missing: the summary is None."""
    assert read_sweep_summary(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", '{"mark": 5}', '{"started": 1, "drift": 3}', '{"started": NaN}'),
        '{"started": 1, "finished": 1e400}',
        '{"started": 1, "drift": {"start": 1e13}}',
    ],
)
def test_a_damaged_summary_is_an_error(tmp_path: Path, text: str) -> None:
    """The error names sweep.json; examples are invalid JSON and an infinite time."""
    (tmp_path / "sweep.json").write_text(text)

    with pytest.raises(ValueError, match=r"sweep\.json is not valid"):
        read_sweep_summary(tmp_path)


def test_a_refusal_stays_visible_while_the_next_sweep_runs(tmp_path: Path) -> None:
    """The summary keeps the refusal of the last sweep until the next one has finished."""
    write_sweep_state(tmp_path, SweepState(), LAST)

    assert begin_sweep_summary(tmp_path, started=3.0, pid=8) == replace(
        LAST, started=3.0, finished=None, pid=8
    )


def test_a_damaged_summary_is_started_anew(tmp_path: Path) -> None:
    """A sweep that finds sweep.json damaged or missing begins with an empty summary."""
    fresh = SweepSummary(started=3.0, finished=None, pid=8)
    first = begin_sweep_summary(tmp_path, started=3.0, pid=8)
    (tmp_path / "sweep.json").write_text('{"drift": 3}')

    assert [first, begin_sweep_summary(tmp_path, started=3.0, pid=8)] == [fresh, fresh]

"""What a sweep leaves behind."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from sweep_values import NOON, OLD, over, start, stop

from sweeper.diff import Drift, SweepMemory
from sweeper.guard import HeldBackStops
from sweeper.state import (
    REMEMBER_STARTS_SECONDS,
    SweepState,
    SweepSummary,
    next_memory,
    read_state,
    read_summary,
    write_state,
)
from sweeper.values import Plan, RunId, Start

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
def test_what_is_written_is_read_again(tmp_path: Path, state: SweepState) -> None:
    """All of it."""
    write_state(tmp_path, state, SweepSummary(started=1.0, finished=2.5, pid=7))

    assert read_state(tmp_path) == state


def test_the_file_says_how_the_sweep_went(tmp_path: Path) -> None:
    """`status` and `check` read it."""
    summary = SweepSummary(
        started=1.0, finished=None, pid=7, refused=True, guards=("boot",), drift={"start": 1}
    )
    write_state(tmp_path, STATE, summary)

    document = json.loads((tmp_path / "sweep.json").read_text())

    assert document["finished"] is None
    assert document["duration_seconds"] is None
    assert (document["refused"], document["guards"]) == (True, ["boot"])
    assert (document["drift"], document["mark"]) == ({"start": 1}, NOON)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"mark": "soon"}', '{"held": {}}', '{"told": 1}',
                                  '{"young": ["x"]}'])  # fmt: skip
def test_a_damaged_file_is_as_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """The next sweep looks before it acts, and says why."""
    (tmp_path / "sweep.json").write_text(text)

    assert read_state(tmp_path) == SweepState()
    assert ["WARNING"] == [record.levelname for record in caplog.records]


def test_memory_keeps_what_the_next_sweep_needs() -> None:
    """What was queued counts; old entries go."""
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


def test_a_refusal_stays_visible_while_the_next_sweep_is_at_work(tmp_path: Path) -> None:
    """Also if that one dies; a damaged file has nothing to say."""
    last = SweepSummary(
        started=1.0, finished=2.0, pid=7, refused=True, guards=("boot",), drift={"start": 1}
    )
    write_state(tmp_path, STATE, last)

    assert read_summary(tmp_path, started=3.0, pid=8) == replace(
        last, started=3.0, finished=None, pid=8
    )
    (tmp_path / "sweep.json").write_text('{"drift": 3}')
    assert read_summary(tmp_path, started=3.0, pid=8) == SweepSummary(
        started=3.0, finished=None, pid=8
    )

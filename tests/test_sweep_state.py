"""What a sweep leaves behind."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from sweep_values import NOON, OLD, over, start, stop

from sweeper.diff import Drift, Memory
from sweeper.guard import Held
from sweeper.state import (
    ASKED_SECONDS,
    State,
    Summary,
    read_state,
    read_summary,
    remember,
    write_state,
)
from sweeper.values import Key, Plan, Start

STATE = State(
    mark=NOON,
    cluster="lab",
    running=12,
    held=Held(time=5, guards=("stops",), stops=frozenset({Key(7, OLD)})),
    memory=Memory(
        sweep=3,
        young=frozenset({Key(1, 2)}),
        undecided={Key(3, 4): 5},
        told={Key(5, 6): 2},
        asked={Key(7, 8): 9},
    ),
)


@pytest.mark.parametrize("state", [State(), STATE])
def test_what_is_written_is_read_again(tmp_path: Path, state: State) -> None:
    """All of it."""
    write_state(tmp_path, state, Summary(started=1.0, finished=2.5, pid=7))

    assert read_state(tmp_path) == state


def test_the_file_says_how_the_sweep_went(tmp_path: Path) -> None:
    """`status` and `check` read it."""
    summary = Summary(
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

    assert read_state(tmp_path) == State()
    assert ["WARNING"] == [record.levelname for record in caplog.records]


def test_memory_keeps_what_the_next_sweep_needs() -> None:
    """What was queued counts; old entries go."""
    memory = Memory(
        sweep=20,
        told={Key(1, 1): 10, Key(2, 2): 11},
        asked={Key(3, 3): NOON - ASKED_SECONDS, Key(4, 4): NOON - ASKED_SECONDS + 1},
    )
    drift = Drift(young={Key(9, 9)}, undecided={Key(8, 8): 7}, known=Counter())
    ended = Start(job=over(6), why="unseen")
    plan = Plan(changes=(start(5), ended, stop(7), stop(11)))

    after = remember(memory, drift, plan, [Key(5, OLD), Key(6, OLD), Key(7, OLD)], NOON)

    assert after == Memory(
        sweep=21,
        young=frozenset({Key(9, 9)}),
        undecided={Key(8, 8): 7},
        told={Key(2, 2): 11, Key(7, OLD): 21},
        asked={Key(4, 4): NOON - ASKED_SECONDS + 1, Key(6, OLD): NOON},
    )


def test_a_refusal_stays_visible_while_the_next_sweep_is_at_work(tmp_path: Path) -> None:
    """Also if that one dies; a damaged file has nothing to say."""
    last = Summary(
        started=1.0, finished=2.0, pid=7, refused=True, guards=("boot",), drift={"start": 1}
    )
    write_state(tmp_path, STATE, last)

    assert read_summary(tmp_path, started=3.0, pid=8) == replace(
        last, started=3.0, finished=None, pid=8
    )
    (tmp_path / "sweep.json").write_text('{"drift": 3}')
    assert read_summary(tmp_path, started=3.0, pid=8) == Summary(started=3.0, finished=None, pid=8)

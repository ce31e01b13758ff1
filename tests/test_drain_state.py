"""The drain's state file: written when it changes, read whatever its version or condition."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spool.errors import BadFileError
from spool.files.drain_state import (
    DrainState,
    DrainStateFile,
    HealthReport,
    HealthState,
    UnreadableFile,
    WaitingCause,
    read_drain_state,
)

DOWN = HealthReport(state=HealthState.DOWN, since=4.0, reason="refused", next_try=9.0)
FULL = DrainState(
    pid=7,
    started=1.0,
    updated=8.0,
    once=True,
    version="0.2.0",
    health=DOWN,
    starts=DOWN,
    stops=HealthReport(state=HealthState.UP, since=2.0),
    server_version="1.5.4",
    server_dialect="v15",
    slurm_release="25.05.1",
    slurm_silent_since=3.0,
    slurm_reason="slurm_load_jobs error",
    accounting_silent_since=5.0,
    disk_full=True,
    disk_reason="No space left on device",
    inquiries=1,
    unreported=2,
    held_stops=3,
    waiting=(WaitingCause(cause="host n1 is unknown to cc-backend", count=4, since=6.0),),
    unreadable=(UnreadableFile(name="todo/5-100.json", reason="Input/output error"),),
    unreadable_count=1,
    last_event=6.0,
    last_delivery=7.0,
    deliveries_last_hour=11,
    due_since=5.0,
    next_attempt=12.0,
    warnings=("squeue: warning: a line",),
    polling_reason="Too many open files",
)


def written(tmp_path: Path, *states: tuple[DrainState, float]) -> DrainState | None:
    """Return what is read after some states were written at some times."""
    file = DrainStateFile(tmp_path / "drain.json")
    for state, now in states:
        file.write(state, now)
    return read_drain_state(tmp_path / "drain.json")


def read(tmp_path: Path, document: Any) -> DrainState | None:
    """Return what is read from a document."""
    (tmp_path / "drain.json").write_text(json.dumps(document))
    return read_drain_state(tmp_path / "drain.json")


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Every field of the drain's state file is restored."""
    assert FULL == written(tmp_path, (FULL, 8.0))


def test_a_missing_state_file_is_none(tmp_path: Path) -> None:
    """A missing state file means that no drain has ever run here."""
    assert read_drain_state(tmp_path / "drain.json") is None


@pytest.mark.parametrize(
    ("change", "later", "updated"),
    [
        ({}, 4.9, 0.0),
        ({}, 5.0, 5.0),
        ({"last_delivery": 1.0}, 0.9, 0.0),
        ({"last_delivery": 1.0}, 1.0, 1.0),
        ({"health": DOWN}, 0.1, 0.1),
        ({"disk_full": True}, 0.1, 0.1),
        ({}, -3600.0, -3600.0),
    ],
    ids=["same", "old", "figure", "older figure", "health", "disk", "clock set back"],
)
def test_a_state_is_written_when_it_changed_or_the_file_is_old(
    tmp_path: Path, change: dict[str, Any], later: float, updated: float
) -> None:
    """Health and disk_full are written at once, counts after 1 s, the same state after 5 s."""
    first = DrainState(last_delivery=0.0)
    found = written(tmp_path, (first, 0.0), (replace(first, **change), later))

    assert found is not None
    assert updated == found.updated


def test_an_unchanged_state_is_not_written_again_after_a_second(tmp_path: Path) -> None:
    """The state file was refreshed at 30 s; at 31 s nothing has changed."""
    same = DrainState(last_delivery=0.0)
    found = written(tmp_path, (same, 5.0), (same, 30.0), (same, 31.0))

    assert found is not None
    assert 30.0 == found.updated


def test_figures_that_change_in_each_pass_are_written_once_a_second(tmp_path: Path) -> None:
    """A busy drain makes many passes a second."""
    states = [(DrainState(last_delivery=at), at) for at in (5.0, 7.0, 7.1)]
    found = written(tmp_path, *states)

    assert found is not None
    assert 7.0 == found.updated


@pytest.mark.parametrize(("later", "is_behind"), [(0.9, True), (1.0, False)])
def test_a_state_file_without_the_newest_figure_is_outdated(
    tmp_path: Path, later: float, *, is_behind: bool
) -> None:
    """`is_behind` is true if a figure changed less than 1 s after the last write."""
    file = DrainStateFile(tmp_path / "drain.json")
    file.write(DrainState(last_delivery=0.0), 5.0)
    file.write(DrainState(last_delivery=1.0), 5.0 + later)

    assert is_behind == file.is_behind


@pytest.mark.parametrize(
    ("later", "may_write"), [(0.0, False), (0.9, False), (1.0, True), (-9, True)]
)
def test_may_write_is_true_a_second_after_the_last_write(
    tmp_path: Path, later: float, *, may_write: bool
) -> None:
    """`may_write` is false for a second after a write, but true if the clock was set back."""
    file = DrainStateFile(tmp_path / "drain.json")
    file.write(DrainState(last_delivery=0.0), 5.0)

    assert may_write is file.may_write(5.0 + later)


def test_a_change_after_a_refresh_is_written_at_once(tmp_path: Path) -> None:
    """After a write of an unchanged state, a new figure does not wait for a second."""
    same, changed = DrainState(last_delivery=0.0), DrainState(last_delivery=1.0)
    found = written(tmp_path, (same, 5.0), (same, 30.0), (changed, 30.1))

    assert found is not None
    assert 1.0 == found.last_delivery


def test_a_state_file_with_all_figures_is_not_outdated(tmp_path: Path) -> None:
    """`is_behind` is false: the figure has returned to the value in the file."""
    file = DrainStateFile(tmp_path / "drain.json")
    for figure, now in ((0.0, 5.0), (1.0, 5.1), (0.0, 5.2)):
        file.write(DrainState(last_delivery=figure), now)

    assert not file.is_behind


def test_the_last_state_of_a_drain_is_written_at_once(tmp_path: Path) -> None:
    """Figures of the drain's last second must not be lost."""
    file = DrainStateFile(tmp_path / "drain.json")
    file.write(DrainState(last_event=1.0), 5.0)
    file.write(DrainState(last_event=5.1), 5.2, at_once=True)

    assert DrainState(last_event=5.1, updated=5.2) == read_drain_state(tmp_path / "drain.json")


def test_an_unwritable_state_does_not_stop_the_drain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The state directory is missing: the error is logged, not raised."""
    DrainStateFile(tmp_path / "missing" / "drain.json").write(FULL, 7.0)

    assert "cannot be written" in caplog.text


def test_a_state_that_could_not_be_written_is_tried_again_each_second(tmp_path: Path) -> None:
    """After a full disk the state file must not stay old for longer."""
    path = tmp_path / "later" / "drain.json"
    file = DrainStateFile(path)
    file.write(FULL, 7.0)
    path.parent.mkdir()
    file.write(FULL, 7.9)
    too_early = path.exists()
    file.write(FULL, 8.1)

    assert (False, True) == (too_early, path.exists())


def test_at_most_twenty_unreadable_files_are_named(tmp_path: Path) -> None:
    """The state file names 20 of 30 unreadable files, and has the count 30."""
    many = tuple(UnreadableFile(name=f"todo/{n}", reason="EIO") for n in range(30))
    found = written(tmp_path, (DrainState(unreadable=many, unreadable_count=30), 1.0))

    assert found is not None
    assert (many[:20], 30) == (found.unreadable, found.unreadable_count)


@pytest.mark.parametrize(
    ("health", "next_try"), [("up", None), ("down", 9.0), ("halted", 9.0), ("odd", 9.0)]
)
def test_a_state_of_version_0_1_is_read(
    tmp_path: Path, health: str, next_try: float | None
) -> None:
    """An upgrade replaces the commands first, so they read the state file of the old drain."""
    destination = {
        "health": health,
        "since": 4.0,
        "reason": "refused",
        "failures": 2,
        "next_probe": 9.0,
    }
    document = {
        "pid": 7,
        "started": 1.0,
        "updated": 8,
        "destination": destination,
        "server": {"version": "1.4.4", "dialect": "v14"},
        "slurm_silent_since": 3.0,
        "disk_full": False,
        "inquiries": 1,
        "unknown_hosts": 2,
        "once": False,
    }
    expected = DrainState(
        pid=7,
        started=1.0,
        updated=8.0,
        health=HealthReport(
            state=HealthState(health) if health in {*HealthState} else None,
            since=4.0,
            reason="refused",
            next_try=next_try,
        ),
        server_version="1.4.4",
        server_dialect="v14",
        slurm_silent_since=3.0,
        inquiries=1,
        waiting=(WaitingCause(cause="hosts that are unknown to cc-backend", count=2),),
    )

    assert expected == read(tmp_path, document)


@pytest.mark.parametrize(
    "odd", [None, "x", -1, True, [], [1], {}, {"a": 1}, [{}], [{"name": 1}], 10**400]
)
def test_a_field_with_an_odd_value_is_ignored(tmp_path: Path, odd: Any) -> None:
    """The other fields of the state file are read, and no error is raised."""
    names = [field for field in DrainState.__dataclass_fields__ if field not in {"pid", "version"}]
    document = dict.fromkeys([*names, "server", "destination", "unknown_hosts"], odd)
    found = read(tmp_path, {**document, "pid": 7})

    assert found is not None
    assert 7 == found.pid


def test_a_time_that_is_no_number_is_none(tmp_path: Path) -> None:
    """NaN and Infinity, which Python's JSON parser accepts, count as no time."""
    (tmp_path / "drain.json").write_text('{"updated": NaN, "started": Infinity, "last_event": 5}')

    assert DrainState(last_event=5.0) == read_drain_state(tmp_path / "drain.json")


@pytest.mark.parametrize("contents", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"5"])
def test_a_damaged_state_file_is_an_error(tmp_path: Path, contents: bytes) -> None:
    """A state file that is not a JSON object raises BadFileError."""
    (tmp_path / "drain.json").write_bytes(contents)

    with pytest.raises(BadFileError):
        read_drain_state(tmp_path / "drain.json")

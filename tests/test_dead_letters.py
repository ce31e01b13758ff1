"""Dead letters: what was moved to dead, and the reason that is stored with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm.job import Job
from spool.files.codec import load_run
from spool.files.dead_letter_reason import DeadLetterReason, read_why
from spool.files.dead_letters import move_file_to_dead, move_run_to_dead, safe_name
from spool.files.durable_files import WriteBatch
from spool.files.layout import Directory, Layout
from spool.files.run import LastError, Run

WHY = DeadLetterReason(
    name="odd", directory=Directory.NEW, time=100, reason="no event", hint="look at it"
)
RUN = Run(job=Job(job_id=5), start_time=100)
REFUSED = LastError(
    time=150, call="start", outcome="rejected", reason="bad", message="no such cluster"
)


def names(layout: Layout) -> dict[str, set[str]]:
    """Return the files of each directory that has any."""
    found = {directory.value: set(layout.names(directory)) for directory in Directory}
    return {directory: inside for directory, inside in found.items() if inside}


def test_a_dead_run_stores_the_servers_error(layout: Layout) -> None:
    """It is in `dead/` only."""
    batch = WriteBatch(layout)
    batch.put_run(RUN)
    batch.commit()
    batch = WriteBatch(layout)
    move_run_to_dead(batch, RUN, REFUSED)
    batch.commit()

    assert {"dead": {RUN.name}} == names(layout)
    assert replace(RUN, last_error=REFUSED) == load_run(layout, Directory.DEAD, RUN.name)


def test_moving_a_run_to_dead_returns_the_stored_run(layout: Layout) -> None:
    """The returned run has its last error."""
    assert replace(RUN, last_error=REFUSED) == move_run_to_dead(WriteBatch(layout), RUN, REFUSED)


def test_a_dead_file_keeps_name_and_contents(layout: Layout) -> None:
    """An administrator will look at it."""
    (layout.root / "new" / "odd").write_bytes(b"contents")
    move_file_to_dead(layout, WHY)

    assert {"dead": {"odd", "odd.why"}} == names(layout)
    assert b"contents" == (layout.root / "dead" / "odd").read_bytes()


def test_a_reason_is_read_back(layout: Layout) -> None:
    """It is stored beside the file."""
    (layout.root / "new" / "odd").touch()

    assert WHY == read_why(layout, move_file_to_dead(layout, WHY))


def test_a_link_is_moved_not_followed(layout: Layout) -> None:
    """The link's target stays untouched."""
    (layout.root / "new" / "odd").symlink_to("/etc/hostname")
    move_file_to_dead(layout, WHY)

    assert (layout.root / "dead" / "odd").is_symlink()


def test_a_reason_is_escaped(layout: Layout) -> None:
    """It may quote a file name."""
    (layout.root / "new" / "odd").touch()
    move_file_to_dead(layout, replace(WHY, reason="a\x1b[2J"))
    document = json.loads((layout.root / "dead" / "odd.why").read_text())

    assert r"a\x1b[2J" == document["reason"]


@pytest.mark.parametrize(
    "name", ["a\nb", "\x1b[2J", "\udcff", ".hidden", "-rf", "x.why", "x" * 201]
)
def test_a_strange_name_is_replaced_and_recorded(layout: Layout, name: str) -> None:
    """The dead letter has a name that is harmless in any listing."""
    (layout.root / "new" / name).touch()
    moved = move_file_to_dead(layout, replace(WHY, name=name))
    why = read_why(layout, moved)

    assert (True, name) == (moved.startswith("strange-"), why.name if why else None)


@given(st.text(st.characters(min_codepoint=1, max_codepoint=0xDCFF), max_size=80))
def test_safe_names_are_printable_and_stable(name: str) -> None:
    """A safe name needs no second replacement and no escaping, whatever the original name."""
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return  # no file name
    safe = safe_name(name)

    assert (safe, True, True) == (safe_name(safe), safe.isascii(), safe.isprintable())


def test_two_strange_names_stay_different() -> None:
    """Neither dead letter overwrites the other."""
    assert safe_name("a\n") != safe_name("b\n")


def test_a_file_that_vanished_leaves_no_reason(layout: Layout) -> None:
    """There is no dead letter to explain."""
    with pytest.raises(FileNotFoundError):
        move_file_to_dead(layout, WHY)

    assert {} == names(layout)


def test_a_file_that_cannot_be_moved_stays(layout: Layout) -> None:
    """The file and the one in its way are both kept."""
    (layout.root / "new" / "odd").mkdir()
    (layout.root / "dead" / "odd").write_text("in the way")
    with pytest.raises(NotADirectoryError):
        move_file_to_dead(layout, WHY)

    assert {"new": {"odd"}, "dead": {"odd"}} == names(layout)


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b"{}",
        b"[" * 100_000,
        b'{"name": "a", "from": "nowhere", "time": 1, "reason": "", "hint": ""}',
        b'{"name": "a", "from": "new", "time": "x", "reason": "", "hint": ""}',
        b'{"name": "a", "from": "new", "time": Infinity, "reason": "", "hint": ""}',
    ],
)
def test_a_damaged_reason_is_none(layout: Layout, contents: bytes) -> None:
    """The dead letter itself is still there."""
    (layout.root / "dead" / "odd.why").write_bytes(contents)

    assert None is read_why(layout, "odd")


def test_a_huge_reason_is_none(layout: Layout) -> None:
    """The program does not read such a file."""
    with (layout.root / "dead" / "odd.why").open("wb") as file:
        file.truncate(1 << 30)

    assert None is read_why(layout, "odd")


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("/etc/hostname")])
def test_a_reason_that_is_no_file_is_none(layout: Layout, make: object) -> None:
    """The program did not write it."""
    assert callable(make)
    make(layout.root / "dead" / "odd.why")

    assert None is read_why(layout, "odd")


def test_a_missing_reason_is_none(layout: Layout) -> None:
    """A dead run has its last error in the run file."""
    assert None is read_why(layout, RUN.name)

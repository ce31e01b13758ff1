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
    """The file of the run is in dead/ only."""
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
    """The file is moved from new/ to dead/, beside a .why file with the reason."""
    (layout.root / "new" / "odd").write_bytes(b"contents")
    move_file_to_dead(layout, WHY)

    assert {"dead": {"odd", "odd.why"}} == names(layout)
    assert b"contents" == (layout.root / "dead" / "odd").read_bytes()


def test_the_reason_of_a_dead_file_is_read_back(layout: Layout) -> None:
    """The reason is stored in a .why file beside the dead file."""
    (layout.root / "new" / "odd").touch()

    assert WHY == read_why(layout, move_file_to_dead(layout, WHY))


def test_a_link_is_moved_not_followed(layout: Layout) -> None:
    """A link in new/ is itself moved to dead/; its target stays untouched."""
    (layout.root / "new" / "odd").symlink_to("/etc/hostname")
    move_file_to_dead(layout, WHY)

    assert (layout.root / "dead" / "odd").is_symlink()


def test_the_reason_of_a_dead_file_is_escaped(layout: Layout) -> None:
    """A reason may contain a file name with control characters."""
    (layout.root / "new" / "odd").touch()
    move_file_to_dead(layout, replace(WHY, reason="a\x1b[2J"))
    document = json.loads((layout.root / "dead" / "odd.why").read_text())

    assert r"a\x1b[2J" == document["reason"]


@pytest.mark.parametrize(
    "name", ["a\nb", "\x1b[2J", "\udcff", ".hidden", "-rf", "x.why", "x" * 201]
)
def test_a_strange_name_is_replaced_and_recorded(layout: Layout, name: str) -> None:
    """The dead letter is named `strange-...`, and the .why file has the original name."""
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
    """Replacing control characters in two file names gives two names, so no file is overwritten."""
    assert safe_name("a\n") != safe_name("b\n")


def test_a_file_that_vanished_leaves_no_reason(layout: Layout) -> None:
    """If the file is gone before it can be moved to dead/, no .why file is written."""
    with pytest.raises(FileNotFoundError):
        move_file_to_dead(layout, WHY)

    assert {} == names(layout)


def test_a_file_that_cannot_be_moved_stays(layout: Layout) -> None:
    """A directory stays in new/, and the file of the same name in dead/ is kept, too."""
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
def test_a_damaged_why_file_gives_no_reason(layout: Layout, contents: bytes) -> None:
    """The .why file of the dead letter is truncated, no object, or has a wrong value."""
    (layout.root / "dead" / "odd.why").write_bytes(contents)

    assert None is read_why(layout, "odd")


def test_a_huge_why_file_gives_no_reason(layout: Layout) -> None:
    """The program does not read a .why file of 1 GiB."""
    with (layout.root / "dead" / "odd.why").open("wb") as file:
        file.truncate(1 << 30)

    assert None is read_why(layout, "odd")


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("/etc/hostname")])
def test_a_why_file_that_is_not_regular_gives_no_reason(layout: Layout, make: object) -> None:
    """A directory or a link with the name of a .why file was not written by the program."""
    assert callable(make)
    make(layout.root / "dead" / "odd.why")

    assert None is read_why(layout, "odd")


def test_a_missing_why_file_gives_no_reason(layout: Layout) -> None:
    """A dead run needs none: its last error is in the run file."""
    assert None is read_why(layout, RUN.name)

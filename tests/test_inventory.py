"""Reading a spool without its lock, while other programs write and move files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_site import NOON, CommandSite, run_of

from spool.files import inventory
from spool.files.file_times import list_names
from spool.files.inventory import (
    BadFile,
    EventFile,
    read_dead,
    read_events,
    read_file,
)
from spool.files.layout import Directory, Layout

EVENT = "1-start-5-0-0-77"


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def layout(site: CommandSite) -> Iterator[Layout]:
    """Return its spool."""
    with Layout(site.spool) as made:
        yield made


class Moving(Layout):
    """A spool that runs a function after the time of a name was read."""

    happens: dict[tuple[str, str], Any]

    def mtime(self, directory: Directory, name: str) -> float:
        """Return the mtime, then run the function for this directory."""
        try:
            return super().mtime(directory, name)
        finally:
            self.happens.pop(("time", directory), lambda: None)()


def test_events_come_oldest_first_with_their_extras(site: CommandSite, layout: Layout) -> None:
    """The mtimes of the files decide the order, not their names; extras are values such as user."""
    site.put_event("1-stop-4-0-0-9", time=NOON + 1)
    site.put_event(EVENT, "user=anna\nend\n")
    found = list(read_events(layout))

    assert [EVENT, "1-stop-4-0-0-9"] == [event.name for event in found]
    assert isinstance(found[0], EventFile)
    assert {"user": "anna"} == found[0].event.extras


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to("/etc/hostname"), "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.mkdir(), "not a regular file"),
    ],
)
def test_non_regular_files_in_new_are_reported(
    site: CommandSite, layout: Layout, make: Any, reason: str
) -> None:
    """A link, FIFO or directory is reported as `not a regular file`; reading does not block."""
    make(site.spool / "new" / EVENT)
    (found,) = read_events(layout)

    assert isinstance(found, BadFile)
    assert (EVENT, reason) == (found.name, found.reason)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("odd\nname", "not a valid name of an event file"),
        (
            "2-start-5-0-0-1",
            "written by a later version of this program (format 2); install that version",
        ),
    ],
)
def test_invalid_names_in_new_are_reported(
    site: CommandSite, layout: Layout, name: str, reason: str
) -> None:
    """The reason is an invalid name, or the name format of a later version of this program."""
    (site.spool / "new" / name).touch()
    (found,) = read_events(layout)

    assert isinstance(found, BadFile)
    assert reason == found.reason


@pytest.mark.parametrize(
    ("name", "contents", "reason"),
    [
        ("5-100.json", "{", "not JSON"),
        ("6-100.json", '{"version": 9}', "written by a later version"),
        ("odd", "", "not JSON"),
    ],
)
def test_damaged_run_files_are_reported(
    site: CommandSite, layout: Layout, name: str, contents: str, reason: str
) -> None:
    """The file is truncated, was written by a later version, or has an invalid name."""
    (site.spool / "todo" / name).write_text(contents)
    found = read_file(layout, Directory.TODO, name)

    assert isinstance(found, BadFile)
    assert found.reason.startswith(reason)


def test_a_run_without_read_permission_is_reported(
    site: CommandSite, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is the error text of the system."""
    run = site.put(Directory.TODO, run_of())

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(inventory, "load_run", refuse)
    found = read_file(layout, Directory.TODO, run.name)

    assert isinstance(found, BadFile)
    assert "Permission denied" == found.reason


@pytest.mark.parametrize(("source", "target"), [("open", "todo"), ("todo", "open")])
def test_a_run_that_moves_is_found_in_its_new_directory(
    site: CommandSite, source: str, target: str
) -> None:
    """The drain moves the file between `open/` and `todo/` while a command reads it."""
    run = site.put(Directory(source), run_of())
    with Moving(site.spool) as layout:
        old, new = site.spool / source / run.name, site.spool / target / run.name
        layout.happens = {("time", source): lambda: old.rename(new)}
        found = read_file(layout, Directory(source), run.name)

    assert found is not None
    assert target == found.directory


def test_a_run_delivered_during_the_read_causes_no_error(site: CommandSite) -> None:
    """The drain removes the run file from `todo/` while a command reads it."""
    run = site.put(Directory.TODO, run_of())
    with Moving(site.spool) as layout:
        layout.happens = {("time", "todo"): (site.spool / "todo" / run.name).unlink}

        assert read_file(layout, Directory.TODO, run.name) is None


def test_event_names_are_listed_with_their_mtimes(site: CommandSite, layout: Layout) -> None:
    """The name of the oldest file comes first."""
    site.put_event("1-stop-4-0-0-9", time=NOON + 1)
    site.put_event(EVENT)

    assert [(NOON, EVENT), (NOON + 1, "1-stop-4-0-0-9")] == list_names(layout, Directory.NEW)


def test_an_event_processed_during_the_read_causes_no_error(site: CommandSite) -> None:
    """The drain removes the event from `new/` while a command reads it."""
    site.put_event(EVENT)
    with Moving(site.spool) as layout:
        layout.happens = {("time", "new"): (site.spool / "new" / EVENT).unlink}

        assert [] == list(read_events(layout))


def test_dead_letters_come_with_their_reasons(site: CommandSite, layout: Layout) -> None:
    """Runs, events and other files are dead letters; the file with the reason is not."""
    run = site.put(Directory.DEAD, replace(run_of(), attempts=3))
    site.add_dead_letter(EVENT, b"end\n")
    site.add_dead_letter("odd")
    found = {each.name: each for each in read_dead(layout)}

    assert {run.name, EVENT, "odd"} == set(found)
    event, odd = found[EVENT], found["odd"]
    assert isinstance(event, EventFile)
    assert isinstance(odd, BadFile)
    assert event.why is not None
    assert odd.why is not None
    assert ("look at the file", "new") == (odd.why.hint, odd.why.directory)


def test_a_removed_dead_letter_is_no_error(layout: Layout) -> None:
    """The file is no longer in `dead/`: an administrator has retried it."""
    assert read_file(layout, Directory.DEAD, EVENT) is None


def test_a_dead_letter_retried_during_the_read_causes_no_error(site: CommandSite) -> None:
    """An administrator retries the dead letter while another command reads `dead/`."""
    run = site.put(Directory.DEAD, run_of())
    with Moving(site.spool) as layout:
        layout.happens = {("time", "dead"): (site.spool / "dead" / run.name).unlink}

        assert [] == list(read_dead(layout))

"""Events that sweeps and `replay` write: complete or not at all."""

from __future__ import annotations

import os

import pytest

from spool.errors import BadFileError, NewerFormatError
from spool.files.durable_files import NewFile, create_file
from spool.files.event import EventKind
from spool.files.inventory import EventFile, read_events
from spool.files.layout import Directory, Layout
from spool.files.new_events import new_event, put_event

NAME = "1-start-5-100-0-77"


def events(layout: Layout) -> list[EventFile]:
    """Return the events in `new/`."""
    return [event for event in read_events(layout) if isinstance(event, EventFile)]


def put(layout: Layout, event: NewFile) -> str:
    """Put an event into `new/`; return its name."""
    create_file(layout, Directory.NEW, event, durable=False)
    return event.name


def test_an_event_is_read_as_it_was_written(layout: Layout) -> None:
    """An event in new/ has the job id, the times and the extras that were written."""
    extras = {"monitoring_status": "0", "user": "anna"}
    name = put(layout, new_event(EventKind.CLOSE, 5, start=100, end=200, extras=extras))
    (found,) = events(layout)

    assert f"1-close-5-100-200-{os.getpid()}" == name
    assert (5, 100, 200, extras) == (
        found.event.job_id,
        found.event.start,
        found.event.end,
        found.event.extras,
    )


def test_an_event_needs_no_times() -> None:
    """The name of an event has 0 for each missing time; the drain queries Slurm for it."""
    assert f"1-stop-5-0-0-{os.getpid()}" == new_event(EventKind.STOP, 5).name


def test_writing_an_event_leaves_no_temporary_file(layout: Layout) -> None:
    """tmp/ is empty after a success, and after a second event with the same name."""
    put(layout, new_event(EventKind.STOP, 5))
    put(layout, new_event(EventKind.STOP, 5))

    assert [] == list(layout.names(Directory.TMP))


def test_a_pending_event_is_not_replaced(layout: Layout) -> None:
    """`put_event` returns False if new/ has the name already, and the first file stays."""
    first = put_event(layout, NAME, {"user": "anna"}, 100.0)
    second = put_event(layout, NAME, {}, 200.0)

    assert (True, False, 100.0) == (first, second, events(layout)[0].time)


def test_an_event_file_is_not_readable_by_others(layout: Layout) -> None:
    """The mode of an event file is at most 0640, as that of a run file."""
    put_event(layout, NAME, {}, None)

    assert 0 == (layout.root / "new" / NAME).stat().st_mode & 0o137


@pytest.mark.parametrize("extras", [{"job name": "x"}, {"user": "a\nend"}, {"user": ""}])
def test_invalid_extras_are_refused(layout: Layout, extras: dict[str, str]) -> None:
    """A key with a space, an empty value or one with a line feed: new/ stays empty."""
    with pytest.raises(BadFileError, match="cannot contain"):
        put_event(layout, NAME, extras, None)

    assert [] == list(layout.names(Directory.NEW))


def test_a_new_event_refuses_invalid_extras() -> None:
    """`new_event` raises BadFileError before a file is written."""
    with pytest.raises(BadFileError, match="cannot contain"):
        new_event(EventKind.START, 5, extras={"job name": "x"})


@pytest.mark.parametrize(("name", "error"), [("odd", BadFileError), ("2-x", NewerFormatError)])
def test_an_invalid_event_name_is_refused(
    layout: Layout, name: str, error: type[Exception]
) -> None:
    """`put_event` raises for `odd`, and for `2-x` (a later format); new/ stays empty."""
    with pytest.raises(error):
        put_event(layout, name, {}, None)

    assert [] == list(layout.names(Directory.NEW))

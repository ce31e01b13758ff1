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
    """Kind, id, times and extras are kept."""
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


def test_times_need_not_be_known() -> None:
    """The drain queries Slurm for missing times."""
    assert f"1-stop-5-0-0-{os.getpid()}" == new_event(EventKind.STOP, 5).name


def test_nothing_is_left_in_tmp(layout: Layout) -> None:
    """This holds after success, and when the name exists already."""
    put(layout, new_event(EventKind.STOP, 5))
    put(layout, new_event(EventKind.STOP, 5))

    assert [] == list(layout.names(Directory.TMP))


def test_a_pending_event_is_not_replaced(layout: Layout) -> None:
    """An event with the same name has the same meaning."""
    first = put_event(layout, NAME, {"user": "anna"}, 100.0)
    second = put_event(layout, NAME, {}, 200.0)

    assert (True, False, 100.0) == (first, second, events(layout)[0].time)


def test_an_event_is_as_private_as_a_run(layout: Layout) -> None:
    """Its mode is at most 0640."""
    put_event(layout, NAME, {}, None)

    assert 0 == (layout.root / "new" / NAME).stat().st_mode & 0o137


@pytest.mark.parametrize("extras", [{"job name": "x"}, {"user": "a\nend"}, {"user": ""}])
def test_invalid_extras_are_refused(layout: Layout, extras: dict[str, str]) -> None:
    """No file is written."""
    with pytest.raises(BadFileError, match="cannot contain"):
        put_event(layout, NAME, extras, None)

    assert [] == list(layout.names(Directory.NEW))


def test_a_new_event_refuses_invalid_extras() -> None:
    """The error comes before a file is written."""
    with pytest.raises(BadFileError, match="cannot contain"):
        new_event(EventKind.START, 5, extras={"job name": "x"})


@pytest.mark.parametrize(("name", "error"), [("odd", BadFileError), ("2-x", NewerFormatError)])
def test_an_invalid_event_name_is_refused(
    layout: Layout, name: str, error: type[Exception]
) -> None:
    """No file is written."""
    with pytest.raises(error):
        put_event(layout, name, {}, None)

    assert [] == list(layout.names(Directory.NEW))

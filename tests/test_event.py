"""Events: what the file name contains and what the file contains."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.errors import BadFileError, NewerFormatError
from spool.files.event import (
    EXTRAS_LIMIT_BYTES,
    Event,
    EventKind,
    event_name,
    parse_event_name,
    parse_extras,
)

SECONDS = st.none() | st.integers(1, 10**12 - 1)


def parse(name: str) -> Event:
    """Return the event of a name."""
    return parse_event_name(name, time=7.5)


def test_an_event_name_contains_the_whole_event() -> None:
    """The file name has kind, job id, start and end; the event's time is that of the file."""
    expected = Event(
        name="1-stop-815-100-200-4711",
        kind=EventKind.STOP,
        job_id=815,
        start=100,
        end=200,
        time=7.5,
    )

    assert expected == parse("1-stop-815-100-200-4711")


def test_a_time_of_0_is_none() -> None:
    """A start or end of 0 is unknown: Slurm before 23.02 gives hooks no times."""
    event = parse("1-start-815-0-0-4711")

    assert (None, None) == (event.start, event.end)


@given(
    st.sampled_from([EventKind.START, EventKind.STOP]),
    st.integers(1, 10**12 - 1),
    SECONDS,
    SECONDS,
    st.integers(0, 10**20 - 1),
)
def test_event_names_are_read_as_they_were_written(
    kind: EventKind, job_id: int, start: int | None, end: int | None, pid: int
) -> None:
    """Kind, job id, start and end are the same, whatever their values."""
    event = parse(event_name(kind, job_id, start=start, end=end, pid=pid))

    assert (kind, job_id, start, end) == (event.kind, event.job_id, event.start, event.end)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "start-1-0-0-1",
        "0-start-1-0-0-1",
        "1-begin-1-0-0-1",
        "1-start-1-0-0",
        "1-start-1-0-0-1-",
        "1-start-1-0-0-1\n",
        "1-start--1-0-0-1",
        "1-start-01-0-0-1",
        "1-start-0-0-0-1",
        "1-start-1000000000000-0-0-1",
        "1-start-1-1000000000000-0-1",
        "1-start-1-0-0-x",
        "1-start-../../x-0-0-1",
        "1-start-\u0661-0-0-1",
        "1-close-1-0-0-1",
        "1-close-1-100-0-1",
        "1-close-1-0-100-1",
        "1-retry-1-100-0-1",
        "1-retry-0-0-100-1",
        ".1-start-1-0-0-1.swp",
        "\udcff",
    ],
)
def test_an_invalid_event_name_is_rejected(name: str) -> None:
    """The error has the name of the file, which becomes a dead letter."""
    with pytest.raises(BadFileError) as caught:
        parse(name)

    assert name == caught.value.path


@pytest.mark.parametrize("name", ["2-start-1-0-0-1", "17-anything at all", "999999999-"])
def test_a_later_format_has_its_own_error(name: str) -> None:
    """A name with a format number above 1 raises NewerFormatError: a newer program can read it."""
    with pytest.raises(NewerFormatError):
        parse(name)


@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_no_file_name_raises_an_unexpected_error(name: str) -> None:
    """Another program may put a file of any name into the spool."""
    refusal: BadFileError | NewerFormatError | None = None
    try:
        parse(name)
    except (BadFileError, NewerFormatError) as error:
        refusal = error

    assert refusal is None or name == refusal.path


def test_a_close_event_contains_both_times() -> None:
    """The sweeper writes start and end into the name of a close event."""
    event = parse("1-close-1-100-200-1")

    assert (EventKind.CLOSE, 100, 200) == (event.kind, event.start, event.end)


@pytest.mark.parametrize("job_id", [0, 815])
def test_a_retry_event_is_about_one_job_or_all(job_id: int) -> None:
    """Job id 0 means all pending runs."""
    event = parse(event_name(EventKind.RETRY, job_id, start=None, end=None, pid=4711))

    assert (EventKind.RETRY, job_id) == (event.kind, event.job_id)


def test_extras_are_read_line_by_line() -> None:
    """An event file has lines `key=value`; its last line, `end`, shows that it is complete."""
    contents = b"nodes=n[1-2]\nuser=ada\nexit_code=0:0\nend\n"

    assert {"nodes": "n[1-2]", "user": "ada", "exit_code": "0:0"} == parse_extras(contents)


@pytest.mark.parametrize(
    "contents", [b"", b"user=ada\n", b"user=ada\nend", b"user=ada\nen", b"user=ada\nend\nx\n"]
)
def test_truncated_extras_are_ignored(contents: bytes) -> None:
    """Without `end` as its last line, no `key=value` line of an event file counts."""
    assert {} == parse_extras(contents)


@pytest.mark.parametrize(
    "line",
    [
        b"user=",
        b"user",
        b"User=ada",
        b"user=a b",
        b"user=\xff",
        b"user=a;b",
        b"=x",
        b"u" * 41 + b"=x",
    ],
)
def test_only_an_invalid_line_is_ignored(line: bytes) -> None:
    """The other `key=value` lines of the event file are used."""
    assert {"account": "p1"} == parse_extras(b"account=p1\n" + line + b"\nend\n")


@pytest.mark.parametrize(("more", "expected"), [(0, 1), (1, 0)])
def test_contents_over_the_limit_are_ignored(more: int, expected: int) -> None:
    """An event file of more than EXTRAS_LIMIT_BYTES gives no extras; one at the limit does."""
    tail = b"\nuser=ada\nend\n"
    contents = b"x" * (EXTRAS_LIMIT_BYTES - len(tail) + more) + tail

    assert expected == len(parse_extras(contents))


@given(st.binary(max_size=200))
def test_no_contents_of_an_event_file_raise_an_error(contents: bytes) -> None:
    """The file may contain any bytes; keys and values that are read are printable."""
    parsed = parse_extras(contents + b"\nend\n")

    assert all(key.isascii() and value.isprintable() for key, value in parsed.items())

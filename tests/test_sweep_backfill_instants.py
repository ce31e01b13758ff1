"""The notations of a time in `cc-sweep backfill`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from spool.errors import UsageError
from sweeper.commands.arguments import parse_instant

HOUR, DAY = 3600, 86400
NOON = 1_774_785_600


@pytest.fixture
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_berlin")
@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("now", NOON),
        ("1774785600", NOON),
        ("@1774785600", NOON),
        ("90s", NOON - 90),
        ("36h", NOON - 36 * HOUR),
        ("7d", NOON - 7 * DAY),
        ("2w", NOON - 14 * DAY),
        ("2026-03-29", 1_774_738_800),
        ("2026-03-29T14:00", NOON),
        ("2026-03-29 14:00:30", NOON + 30),
        ("2026-03-29T12:00Z", NOON),
        ("2026-03-29T14:00:00+02:00", NOON),
        ("2026-03-28T12:00", NOON - DAY - HOUR),
    ],
)
def test_a_time_is_accepted_in_several_formats(text: str, instant: int) -> None:
    """A time without an offset is in this machine's zone, with the offset of that day."""
    assert instant == parse_instant(text, now=NOON + 0.7)


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "7", "7y", "-3d", "12:00", "1-1-1"])
def test_an_invalid_time_is_refused_with_an_example(text: str) -> None:
    """The error says: expected a time such as 2026-03-29."""
    with pytest.raises(UsageError, match="expected a time such as 2026-03-29"):
        parse_instant(text, now=NOON)

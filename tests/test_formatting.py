"""Times, durations, counts and tables as users read them."""

from __future__ import annotations

import pytest

from spool.formatting import (
    format_age,
    format_drift,
    format_duration,
    format_table,
    format_time,
    parse_duration,
    pluralize,
)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (-5, "0s"),
        (59.9, "59s"),
        (60, "1m 00s"),
        (725, "12m 05s"),
        (7500, "2h 05m"),
        (86400 * 3 + 3600 * 4 + 5, "3d 04h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, words: str) -> None:
    """Users see 12m 05s, 2h 05m or 3d 04h; below a minute only seconds, and never less than 0s."""
    assert words == format_duration(seconds)


def test_an_age_is_the_duration_since_a_time() -> None:
    """5s for a time 5 seconds ago; a dash if there is no time."""
    assert ["5s", "-"] == [format_age(10.0, 15.0), format_age(None, 15.0)]


def test_a_time_is_local_with_its_offset() -> None:
    """Users see a time such as 2025-11-27 23:10:04 +0100, no epoch number."""
    assert format_time(1_764_281_404).startswith("2025-11-2")
    assert format_time(1_764_281_404)[-5] in "+-"


@pytest.mark.parametrize(("seconds", "words"), [(None, "-"), (1e300, "an invalid time")])
def test_a_missing_or_invalid_time_is_shown(seconds: float | None, words: str) -> None:
    """Users see a dash for a missing time, `an invalid time` for a number out of range."""
    assert words == format_time(seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("45s", 45), ("2h 05m", 7500), ("3d", 259_200), (" 1w1s ", 604_801)],
)
def test_durations_with_and_without_units_are_read(text: str, seconds: float) -> None:
    """Examples are 45s, 2h 05m, 3d and 1w1s; a number without a unit is in seconds."""
    assert seconds == parse_duration(text)


@pytest.mark.parametrize("text", ["", "h", "-5s", "1.5h", "5 minutes", "1y", "\u0665s"])
def test_an_invalid_duration_is_rejected(text: str) -> None:
    """The message shows a valid example."""
    with pytest.raises(ValueError, match="expected a duration such as"):
        parse_duration(text)


def test_a_table_aligns_numbers_to_the_right() -> None:
    """Words are aligned to the left, without blanks at the end of a line."""
    assert ["id   n", "a    5", "b   10"] == format_table([("id", "n"), ("a", 5), ("b", 10)])


@pytest.mark.parametrize(("number", "words"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs")])
def test_a_count_has_the_right_plural(number: int, words: str) -> None:
    """Only 1 has the singular."""
    assert words == pluralize(number, "run")


@pytest.mark.parametrize(
    ("drift", "is_refused", "words"),
    [
        (
            {"start": 1, "stop": 0, "close": 2, "report": 3},
            False,
            "1 missing start, 2 stale runs, 3 other differences",
        ),
        ({"start": 0, "stop": 0}, False, "nothing to repair"),
        ({"start": 0, "stop": 0}, True, "differences unknown"),
        ({"stop": 1}, True, "1 missing stop"),
        ({}, False, "differences unknown"),
    ],
)
def test_differences_of_a_sweep_are_shown_or_called_unknown(
    drift: dict[str, int], words: str, *, is_refused: bool
) -> None:
    """`differences unknown`: the sweep has no counts, or was refused and all its counts are 0."""
    assert words == format_drift(drift, is_refused=is_refused)

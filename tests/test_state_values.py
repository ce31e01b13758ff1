"""Values of state files: what is not as expected counts as unknown."""

from __future__ import annotations

from typing import Any

import pytest

from spool.files.state_values import count, instant, list_in, object_in, text, whole_number


@pytest.mark.parametrize("value", [None, True, "1", [], float("nan"), float("inf"), 1e12, -1e12])
def test_a_value_that_is_no_time_is_unknown(value: Any) -> None:
    """A state file may have text, true, NaN or 1e12 in place of a time."""
    assert instant(value) is None


@pytest.mark.parametrize("value", [None, True, "1", 1.0, 10**12])
def test_a_value_that_is_no_whole_number_is_unknown(value: Any) -> None:
    """A state file may have text, true, 1.0 or 10^12 in place of a whole number."""
    assert whole_number(value) is None


@pytest.mark.parametrize(("value", "expected"), [(3, 3), (0, 0), (-1, 0), (2.0, 0), (None, 0)])
def test_a_count_is_never_negative(value: Any, expected: int) -> None:
    """A negative number, a float or null in place of a count is read as 0."""
    assert expected == count(value)


def test_values_of_the_expected_type_are_kept() -> None:
    """Times, whole numbers, texts, lists and objects stay as they are; a time may be -1.5."""
    kept = (instant(-1.5), whole_number(-3), text("a"), list_in([1]), object_in({"a": 1}))

    assert (-1.5, -3, "a", [1], {"a": 1}) == kept


@pytest.mark.parametrize("value", [None, 5, "a"])
def test_a_value_that_is_no_list_or_object_is_empty(value: Any) -> None:
    """Null, a number or text in place of a list or object is no reason to fail."""
    assert ([], {}) == (list_in(value), object_in(value))


@pytest.mark.parametrize("value", [None, 5, ["a"]])
def test_a_value_that_is_no_text_is_unknown(value: Any) -> None:
    """Null, a number or a list in place of text is unknown; a number is not converted."""
    assert text(value) is None

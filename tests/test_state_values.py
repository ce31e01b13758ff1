"""Values of state files: what is not as expected counts as unknown."""

from __future__ import annotations

from typing import Any

import pytest

from spool.files.state_values import count, instant, list_in, object_in, text, whole_number


@pytest.mark.parametrize("value", [None, True, "1", [], float("nan"), float("inf"), 1e12, -1e12])
def test_what_is_no_time_is_unknown(value: Any) -> None:
    """No clock shows it."""
    assert instant(value) is None


@pytest.mark.parametrize("value", [None, True, "1", 1.0, 10**12])
def test_what_is_no_whole_number_is_unknown(value: Any) -> None:
    """No counter shows it."""
    assert whole_number(value) is None


@pytest.mark.parametrize(("value", "expected"), [(3, 3), (0, 0), (-1, 0), (2.0, 0), (None, 0)])
def test_a_count_is_never_negative(value: Any, expected: int) -> None:
    """What is no count is zero."""
    assert expected == count(value)


def test_values_of_the_expected_type_are_kept() -> None:
    """A time may have a fraction and may be negative."""
    kept = (instant(-1.5), whole_number(-3), text("a"), list_in([1]), object_in({"a": 1}))

    assert (-1.5, -3, "a", [1], {"a": 1}) == kept


@pytest.mark.parametrize("value", [None, 5, "a"])
def test_values_of_another_type_are_empty(value: Any) -> None:
    """A damaged file is no reason to fail."""
    assert ([], {}) == (list_in(value), object_in(value))


@pytest.mark.parametrize("value", [None, 5, ["a"]])
def test_what_is_no_text_is_unknown(value: Any) -> None:
    """A number is not converted."""
    assert text(value) is None

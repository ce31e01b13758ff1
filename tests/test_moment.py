"""Two clocks: a change of the wall clock does not prolong the wait until a stored time."""

from __future__ import annotations

import time

import pytest

from spool.moment import Clocks, Moment

NOW = Moment(1000.0, 50.0)


@pytest.mark.parametrize(
    ("wall", "steady"),
    [(1030.0, 80.0), (1000.0, 50.0), (900.0, 50.0), (1060.0, 110.0), (9999.0, 110.0)],
    ids=["later", "now", "past", "longest", "beyond"],
)
def test_the_wait_for_a_stored_time_has_a_limit(wall: float, steady: float) -> None:
    """If the wall clock is set back by hours, no run waits for hours."""
    assert steady == NOW.steady_at(wall, longest=60.0)


@pytest.mark.parametrize(("wall", "steady"), [(990.0, 40.0), (900.0, -50.0), (1001.0, 50.0)])
def test_a_past_wall_time_becomes_a_monotonic_time(wall: float, steady: float) -> None:
    """The result is negative if it is before the clock's origin; a future time counts as now."""
    assert steady == NOW.steady_since(wall)


def test_a_moment_is_read_from_both_clocks() -> None:
    """A moment has the wall time and the monotonic time; the test passes clocks of its own."""
    assert NOW == Clocks(wall=lambda: 1000.0, steady=lambda: 50.0).now()


def test_the_system_clocks_are_the_default() -> None:
    """Stored times use the wall clock, waits the monotonic clock."""
    assert (time.time, time.monotonic) == (Clocks().wall, Clocks().steady)

"""Two clocks: stored times are turned into waiting that no change of the wall clock prolongs."""

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
def test_a_stored_time_is_waited_for_at_most_so_long(wall: float, steady: float) -> None:
    """A clock that was set back by hours when it was stored parks nothing for hours."""
    assert steady == NOW.steady_at(wall, longest=60.0)


@pytest.mark.parametrize(("wall", "steady"), [(990.0, 40.0), (900.0, -50.0), (1001.0, 50.0)])
def test_a_past_time_lies_before_now(wall: float, steady: float) -> None:
    """Also before the monotonic clock's origin; a time from the future counts as now."""
    assert steady == NOW.steady_since(wall)


def test_a_moment_is_read_from_both_clocks() -> None:
    """Tests and the simulation pass their own."""
    assert NOW == Clocks(wall=lambda: 1000.0, steady=lambda: 50.0).now()


def test_the_machines_clocks_are_the_rule() -> None:
    """The wall clock for what is stored, the monotonic one for waiting."""
    assert (time.time, time.monotonic) == (Clocks().wall, Clocks().steady)

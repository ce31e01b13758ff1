"""What is believed of cc-backend, and when it may be asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spool.deliver.destination import (
    HALT_PROBE_SECONDS,
    LONGEST_DELAY_SECONDS,
    LONGEST_RETRY_AFTER_SECONDS,
    Destination,
    Health,
)

NOW = 1000.0
DRAW = st.floats(0, 1, exclude_max=True)


def failed(times: int, *, random: float = 0.0) -> Destination:
    """Return the destination after so many failures at one instant."""
    destination = Destination()
    for _ in range(times):
        destination = destination.failed(NOW, "refused", random=random)
    return destination


def test_it_is_up_until_told_otherwise() -> None:
    """And no probe is needed."""
    assert (True, False) == (Destination().is_up, Destination().probe_is_due(NOW))


@given(st.integers(1, 40), DRAW)
def test_delays_lie_between_half_and_whole_of_a_doubling(times: int, random: float) -> None:
    """It is random(d/2, d) with d = min(60 s, 2**n s)."""
    longest = min(LONGEST_DELAY_SECONDS, 2 ** (times - 1))
    delay = failed(times, random=random).next_probe - NOW

    assert longest / 2 - 1e-6 <= delay <= longest + 1e-6


@given(DRAW)
def test_ten_minutes_of_outage_take_few_probes(random: float) -> None:
    """Twenty requests are enough, thirty with the worst luck."""
    now, probes, destination = NOW, 0, Destination().failed(NOW, "refused", random=random)
    while destination.next_probe < NOW + 600:
        now, probes = destination.next_probe, probes + 1
        destination = destination.failed(now, "refused", random=random)

    assert 10 <= probes <= 25


@pytest.mark.parametrize(
    ("wish", "delay"),
    [(None, 0.5), (0.1, 0.5), (30.0, 30.0), (10_000.0, LONGEST_RETRY_AFTER_SECONDS)],
)
def test_a_wish_of_the_server_is_a_minimum(wish: float | None, delay: float) -> None:
    """It is not believed beyond a quarter of an hour."""
    destination = Destination().failed(NOW, "busy", random=0.0, retry_after=wish)

    assert NOW + delay == destination.next_probe


@pytest.mark.parametrize(("later", "is_due"), [(-0.001, False), (0.0, True)])
def test_a_probe_is_due_when_its_time_comes(later: float, is_due: bool) -> None:  # noqa: FBT001 - a table
    """Not before."""
    destination = failed(3)

    assert is_due is destination.probe_is_due(destination.next_probe + later)


def test_an_outage_begins_with_the_first_failure() -> None:
    """Later ones add to the count and the reason alone."""
    destination = failed(1).failed(NOW + 5, "timeout", random=0.0)

    assert (NOW, 2, "timeout", Health.DOWN) == (
        destination.since,
        destination.failures,
        destination.reason,
        destination.health,
    )


def test_success_ends_an_outage() -> None:
    """The count of failures starts anew."""
    assert Destination(since=NOW + 9) == failed(4).succeeded(NOW + 9)


def test_success_changes_nothing_while_it_is_up() -> None:
    """Since when it is up is kept."""
    destination = Destination(since=3.0)

    assert destination is destination.succeeded(NOW)


def test_a_halt_is_probed_every_five_minutes() -> None:
    """Nothing else may go out meanwhile."""
    destination = Destination().halted(NOW, "wrong token")

    assert (False, NOW + HALT_PROBE_SECONDS) == (destination.is_up, destination.next_probe)


def test_a_halt_that_lasts_keeps_its_beginning() -> None:
    """Its reason is the last one."""
    destination = Destination().halted(NOW, "wrong token").halted(NOW + 300, "no role")

    assert (NOW, "no role", 2) == (destination.since, destination.reason, destination.failures)


def test_a_halt_after_an_outage_begins_by_itself() -> None:
    """An outage is none of the operator's doing."""
    assert NOW + 7 == failed(3).halted(NOW + 7, "wrong token").since


def test_an_outage_after_a_halt_begins_by_itself() -> None:
    """The halt is not known to last."""
    destination = Destination().halted(NOW, "wrong token").failed(NOW + 7, "refused", random=0.0)

    assert (NOW + 7, Health.DOWN, 1) == (
        destination.since,
        destination.health,
        destination.failures,
    )


@pytest.mark.parametrize("destination", [failed(9), Destination().halted(NOW, "wrong token")])
def test_a_change_of_the_cause_allows_a_probe_at_once(destination: Destination) -> None:
    """The destination itself waits for the answer."""
    changed = destination.cause_changed(NOW + 1)

    assert (True, destination.health) == (changed.probe_is_due(NOW + 1), changed.health)


def test_a_change_of_the_cause_means_nothing_while_it_is_up() -> None:
    """No probe is needed."""
    destination = Destination()

    assert destination is destination.cause_changed(NOW)

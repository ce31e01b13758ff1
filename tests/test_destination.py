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
    """Return the belief after so many failures at one instant."""
    belief = Destination()
    for _ in range(times):
        belief = belief.failed(NOW, "refused", random=random)
    return belief


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
    now, probes, belief = NOW, 0, Destination().failed(NOW, "refused", random=random)
    while belief.next_probe < NOW + 600:
        now, probes = belief.next_probe, probes + 1
        belief = belief.failed(now, "refused", random=random)

    assert 10 <= probes <= 25


@pytest.mark.parametrize(
    ("wish", "delay"),
    [(None, 0.5), (0.1, 0.5), (30.0, 30.0), (10_000.0, LONGEST_RETRY_AFTER_SECONDS)],
)
def test_a_wish_of_the_server_is_a_minimum(wish: float | None, delay: float) -> None:
    """It is not believed beyond a quarter of an hour."""
    belief = Destination().failed(NOW, "busy", random=0.0, retry_after=wish)

    assert NOW + delay == belief.next_probe


@pytest.mark.parametrize(("later", "is_due"), [(-0.001, False), (0.0, True)])
def test_a_probe_is_due_when_its_time_comes(later: float, is_due: bool) -> None:  # noqa: FBT001 - a table
    """Not before."""
    belief = failed(3)

    assert is_due is belief.probe_is_due(belief.next_probe + later)


def test_an_outage_begins_with_the_first_failure() -> None:
    """Later ones add to the count and the reason alone."""
    belief = failed(1).failed(NOW + 5, "timeout", random=0.0)

    assert (NOW, 2, "timeout", Health.DOWN) == (
        belief.since,
        belief.failures,
        belief.reason,
        belief.health,
    )


def test_success_ends_an_outage() -> None:
    """The count of failures starts anew."""
    assert Destination(since=NOW + 9) == failed(4).succeeded(NOW + 9)


def test_success_changes_nothing_while_it_is_up() -> None:
    """Since when it is up is kept."""
    belief = Destination(since=3.0)

    assert belief is belief.succeeded(NOW)


def test_a_halt_is_probed_every_five_minutes() -> None:
    """Nothing else may go out meanwhile."""
    belief = Destination().halted(NOW, "wrong token")

    assert (False, NOW + HALT_PROBE_SECONDS) == (belief.is_up, belief.next_probe)


def test_a_halt_that_lasts_keeps_its_beginning() -> None:
    """Its reason is the last one."""
    belief = Destination().halted(NOW, "wrong token").halted(NOW + 300, "no role")

    assert (NOW, "no role", 2) == (belief.since, belief.reason, belief.failures)


def test_a_halt_after_an_outage_begins_by_itself() -> None:
    """An outage is none of the operator's doing."""
    assert NOW + 7 == failed(3).halted(NOW + 7, "wrong token").since


def test_an_outage_after_a_halt_begins_by_itself() -> None:
    """The halt is not known to last."""
    belief = Destination().halted(NOW, "wrong token").failed(NOW + 7, "refused", random=0.0)

    assert (NOW + 7, Health.DOWN, 1) == (belief.since, belief.health, belief.failures)


@pytest.mark.parametrize("belief", [failed(9), Destination().halted(NOW, "wrong token")])
def test_a_change_of_the_cause_allows_a_probe_at_once(belief: Destination) -> None:
    """The belief itself waits for the answer."""
    changed = belief.cause_changed(NOW + 1)

    assert (True, belief.health) == (changed.probe_is_due(NOW + 1), changed.health)


def test_a_change_of_the_cause_means_nothing_while_it_is_up() -> None:
    """No probe is needed."""
    belief = Destination()

    assert belief is belief.cause_changed(NOW)

"""The stub server answers every recorded exchange as the real server did, and stores the same."""

from __future__ import annotations

import pytest
from recorded_backend import releases, scenarios
from recorded_deviations import DEVIATIONS, explained, shown
from recorded_replay import Played, play


@pytest.mark.parametrize("release", releases())
def test_every_recorded_exchange_is_answered_and_stored_alike(release: str) -> None:
    """By status, type, words and JSON, and by the rows of all tables at every recorded moment."""
    played, different = 0, []
    for name in scenarios(release):
        for each in play(release, name):
            played += isinstance(each, Played)
            why = explained(each)
            if why is None:
                different.append(shown(each))

    assert different == []
    assert played == sum(len(scenario.exchanges) for scenario in scenarios(release).values())


def test_every_deviation_is_needed() -> None:
    """One that explains nothing would hide a difference to come."""
    names = {
        why
        for release in ("1.3.0", "1.4.0", "1.5.4")
        for name in ("list-filters", "graphql-running", "start-full", "nats-mode")
        if name in scenarios(release)
        for each in play(release, name)
        if (why := explained(each))
    }

    assert {each.name for each in DEVIATIONS} == names

"""The stub server answers each recorded request, and stores the same, as the real server did."""

from __future__ import annotations

import pytest
from recorded_backend import releases, scenarios
from recorded_deviations import DEVIATIONS, explained, shown
from recorded_replay import Played, play


@pytest.mark.parametrize("release", releases())
def test_the_stub_answers_and_stores_as_cc_backend_did(release: str) -> None:
    """Status, type, text and JSON are compared, and all tables at each recorded moment."""
    played, different = 0, []
    for name in scenarios(release):
        for each in play(release, name):
            played += isinstance(each, Played)
            why = explained(each)
            if why is None:
                different.append(shown(each))

    assert different == []
    assert played == sum(len(scenario.exchanges) for scenario in scenarios(release).values())


def test_every_listed_deviation_of_the_stub_occurs() -> None:
    """A deviation in the list that explains nothing would hide a later difference."""
    names = {
        why
        for release in ("1.3.0", "1.4.0", "1.5.4")
        for name in ("list-filters", "graphql-running", "start-full", "nats-mode")
        if name in scenarios(release)
        for each in play(release, name)
        if (why := explained(each))
    }

    assert {each.name for each in DEVIATIONS} == names

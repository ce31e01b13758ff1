"""The recordings of real servers are complete and are read as they were written."""

from __future__ import annotations

import pytest
from recorded_backend import clusters, exchanges, releases, scenarios, version_of

EVERY = pytest.mark.parametrize("release", releases())


def test_all_releases_are_recorded() -> None:
    """Seventeen releases of cc-backend were recorded, from 1.0.0 to 1.5.4."""
    versions = [version_of(release) for release in releases()]

    assert versions == [
        "1.0.0",
        "1.1.0",
        "1.2.0",
        "1.2.1",
        "1.2.2",
        "1.3.0",
        "1.3.1",
        "1.4.0",
        "1.4.1",
        "1.4.2",
        "1.4.3",
        "1.4.4",
        "1.5.0",
        "1.5.1",
        "1.5.2",
        "1.5.3",
        "1.5.4",
    ]


def test_all_exchanges_are_read() -> None:
    """The recordings of all releases have 11850 exchanges (request and answer)."""
    assert 11850 == sum(1 for release in releases() for _ in exchanges(release))


@EVERY
def test_exchanges_have_release_scenario_and_place(release: str) -> None:
    """An exchange is a request with its answer; its place is its index in the scenario."""
    for name, scenario in scenarios(release).items():
        assert name == scenario.name
        assert scenario.plain_release == ("+" not in release)
        for place, each in enumerate(scenario.exchanges):
            found = (each.version, each.scenario, each.place)
            assert (version_of(release), name, place) == found


@EVERY
def test_an_exchange_has_an_answer_or_an_error(release: str) -> None:
    """Only a message published by NATS has neither a status nor an error."""
    for each in exchanges(release):
        without = each.answer.status == 0 and not each.answer.error
        assert without == (each.request.method == "NATS-PUB"), str(each)


@EVERY
def test_shortened_scripts_have_their_full_size(release: str) -> None:
    """The recordings shorten a long series of `x`, which the reader restores."""
    sizes = [
        len(each.request.body or b"") for each in scenarios(release)["start-big-script"].exchanges
    ]

    assert max(sizes) > 5 * 1024 * 1024
    assert not any(b"{{x*" in (each.request.body or b"") for each in exchanges(release))


def test_bodies_in_other_charsets_keep_their_bytes() -> None:
    """A recorded body that is not UTF-8 is read without a change."""
    bodies = [
        each.request.body or b"" for each in scenarios("1.5.4")["start-invalid-utf8"].exchanges
    ]

    assert any(b"\xff" in body for body in bodies)


@EVERY
def test_the_recordings_name_the_clusters_of_each_server(release: str) -> None:
    """Each recorded server had the clusters `lab` and `other`."""
    assert {"lab", "other"} == set(clusters(release))

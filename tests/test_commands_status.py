"""`cc-spool status`: counts, ages, cc-backend, Slurm and the lock of the drain."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_site import NOON, CommandSite
from command_views import filled, say

from spool.commands.status import BOUNDS_MINUTES, histogram
from spool.files.layout import Layout
from spool.files.lock import take_lock
from spool.formatting import format_time


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def drained(site: CommandSite) -> Iterator[CommandSite]:
    """Return a site on which a drain holds the lock."""
    site.write_drain_state(
        destination={"health": "up"}, server={"version": "1.5.4", "dialect": "shared"}
    )
    lock = take_lock(site.state / "drain.lock", site.state / "drain.json")
    yield site
    lock.release()


def test_status_counts_the_files_of_each_directory(site: CommandSite) -> None:
    """The .why files of dead letters are not counted."""
    status = filled(site).call("status", "--json").json

    assert {"new": 1, "todo": 1, "open": 2, "dead": 2, "tmp": 1} == status["counts"]


def test_status_shows_ages(site: CommandSite) -> None:
    """`status --json` has the oldest file and a histogram of ages for each directory."""
    status = filled(site).call("status", "--json").json

    assert NOON == status["oldest"]["todo"]
    assert {"10": 1} == {bound: n for bound, n in status["ages"]["new"].items() if n}
    assert {"older": 1} == {bound: n for bound, n in status["ages"]["todo"].items() if n}


def test_status_of_an_empty_spool_has_no_ages(site: CommandSite) -> None:
    """All counts are 0, the lock is free, and the values from the drain and the sweep are null."""
    status = site.call("status", "--json").json

    assert {"new": 0, "todo": 0, "open": 0, "dead": 0, "tmp": 0} == status["counts"]
    assert {"new": None, "todo": None, "open": None, "dead": None} == status["oldest"]
    assert {"state": "free", "pid": None} == status["lock"]
    assert [None] * 6 == [
        status[key]
        for key in ("halted", "down", "next_attempt", "server", "slurm_silent_since", "sweep")
    ]


@pytest.mark.parametrize(
    ("age_minutes", "bound"), [(0, "5"), (4.99, "5"), (5, "10"), (1279, "1280"), (1280, "older")]
)
def test_an_age_is_counted_under_the_next_higher_bound(age_minutes: float, bound: str) -> None:
    """Bounds are 5, 10, 20 ... 1280 minutes; an age of exactly 5 minutes is counted under 10."""
    found = histogram([age_minutes * 60])

    assert [*map(str, BOUNDS_MINUTES), "older"] == list(found)
    assert {bound: 1} == {key: number for key, number in found.items() if number}


def test_status_names_the_holder_of_the_lock(drained: CommandSite) -> None:
    """A running drain holds the lock; `status` shows its process id and the server's version."""
    status = drained.call("status", "--json").json

    assert {"state": "held", "pid": os.getpid()} == status["lock"]
    assert {"version": "1.5.4", "dialect": "shared"} == status["server"]
    said = drained.call("status").out
    assert f"drain of unknown version is running (process {os.getpid()}, state updated" in said


def test_reading_the_lock_does_not_take_it(site: CommandSite) -> None:
    """After `status` a drain can take the lock; `status` shows the released lock as free."""
    site.call("status")
    take_lock(site.state / "drain.lock", site.state / "drain.json").release()

    assert "free" == site.call("status", "--json").json["lock"]["state"]


def test_status_begins_with_cc_backend_slurm_and_the_last_delivery(drained: CommandSite) -> None:
    """The first four lines have the versions of cc-backend, Slurm and the drain."""
    seen = {"server_version": "1.5.4", "server_dialect": "shared", "slurm_release": "24.11.5"}
    say(drained, **seen, version="0.2.0", last_delivery=NOON, deliveries_last_hour=7)
    server, cluster, delivery, drain = drained.call("status").out.splitlines()[:4]
    status = drained.call("status", "--json").json

    assert (
        f"cc-backend {status['server_url']}, version 1.5.4 (API field for node sharing: 'shared')"
        == server
    )
    assert "cluster lab, Slurm 24.11.5" == cluster
    assert delivery.startswith(f"last delivery {format_time(NOON)} (")
    assert delivery.endswith(" ago); deliveries: 7 in the last hour")
    assert drain.startswith("drain 0.2.0 is running (process ")
    assert "lab" == status["cluster"]


def test_status_without_a_state_file_says_what_is_unknown(site: CommandSite) -> None:
    """With drain.json but no drain, the last delivery is shown and the count of an hour is not."""
    server, cluster, delivery = site.call("status").out.splitlines()[:3]
    site.write_drain_state(last_delivery=NOON, deliveries_last_hour=7)
    old = site.call("status").out

    assert server.endswith(", version unknown")
    assert "cluster lab, Slurm release unknown" == cluster
    assert "no delivery yet" == delivery
    assert f"last delivery {format_time(NOON)} (" in old
    assert "in the last hour" not in old


@pytest.mark.parametrize(("is_terminal", "count"), [(True, 1), (False, 0)])
def test_a_problem_is_coloured_on_a_terminal(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch, count: int, *, is_terminal: bool
) -> None:
    """Other output has no colour, so that scripts need not remove it."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    said = site.call("status", terminal=is_terminal)

    assert count == said.out.count("\x1b[31mno drain is running\x1b[0m")
    assert 2 * count == said.out.count("\x1b[")


def test_status_counts_the_files_being_written(drained: CommandSite) -> None:
    """The files are in tmp/, which no other command shows."""
    assert "1 file being written in tmp/" in filled(drained).call("status").out


def test_status_opens_no_file_of_the_spool(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and times are enough, so many files cost little time."""
    filled(site)
    monkeypatch.setattr(Layout, "read", None)

    assert 0 == site.call("status").code


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"pid": "x", "updated": "now", "destination": 5, "server": [], "unknown_hosts": null}',
        '{"pid": true, "updated": NaN, "destination": {"health": 1, "since": 1e999}}',
        '{"updated": 1e300, "destination": {"health": "down", "since": -1e300}}',
    ],
)
def test_status_survives_a_damaged_state_file(drained: CommandSite, text: str) -> None:
    """A value of a wrong type is shown as unknown."""
    (drained.state / "drain.json").write_text(text)
    (drained.state / "sweep.json").write_text(text)

    assert 0 == drained.call("status").code
    assert 0 == drained.call("status", "--json").code


def test_status_without_a_drain_says_so(site: CommandSite) -> None:
    """`no drain is running` is followed by the time when a drain was last seen, if known."""
    never = site.call("status").out
    site.write_drain_state()
    once = site.call("status").out

    assert "no drain is running" == never.splitlines()[3]
    assert f"\nno drain is running; last seen {format_time(NOON)}" in once


def test_a_lock_that_cannot_be_read_is_unknown(site: CommandSite) -> None:
    """If drain.lock is a link, `status` says that it is unknown whether a drain is running."""
    (site.state / "drain.lock").symlink_to("elsewhere")

    assert (
        "\nit is unknown whether a drain is running: its lock is unreadable; run the command as"
        in site.call("status").out
    )
    assert "unknown" == site.call("status", "--json").json["lock"]["state"]


def test_an_invalid_process_id_is_shown_as_unknown(drained: CommandSite) -> None:
    """The lock is held, but drain.json names a process that does not exist."""
    (drained.state / "drain.json").write_text('{"pid": 99999999}')

    assert "(process id unknown" in drained.call("status").out

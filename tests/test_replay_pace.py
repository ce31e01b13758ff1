"""The pace of `cc-spool replay`: progress, space for live jobs, and the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_site import NOON, CommandSite
from replay_site import REPORTED, archived, counts, importer_of

from spool.commands import replay
from spool.commands.importer import MAX_NEW_EVENTS, RUNS_PER_SPACE_CHECK, Throttle
from spool.files.event import parse_event_name
from spool.files.import_items import ImportItem
from spool.files.layout import Layout
from spool.files.lock import take_lock


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def other(tmp_path: Path) -> CommandSite:
    """Return another site, whose spool is replayed into the first."""
    return CommandSite(tmp_path / "other")


@pytest.fixture
def layout(site: CommandSite) -> Iterator[Layout]:
    """Return the first site's spool."""
    with Layout(site.spool) as made:
        yield made


def test_replay_shows_its_progress_on_a_terminal(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The progress is one line on stderr; the report stays on stdout."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    said = site.call("replay", archived(site, REPORTED), terminal=True)

    assert "\rreplay: 1 [" in said.err
    assert "1 imported, 0 already known, 0 refused\n" == said.out


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_progress_is_shown_where_it_is_disabled(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """`TERM=dumb` and NO_COLOR disable it."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, value)

    assert "\r" not in site.call("replay", archived(site, REPORTED), terminal=True).err


def kept_event(number: int) -> ImportItem:
    """Return one of many events."""
    return ImportItem(where="x", item=parse_event_name(f"1-start-{number}-0-0-1", time=NOON))


def test_replay_keeps_at_most_1000_events_in_new(site: CommandSite, layout: Layout) -> None:
    """More events are imported when the drain has processed some."""
    most = 0

    def drain(_seconds: float) -> None:
        nonlocal most
        most = max(most, len(site.names("new")))
        for name in site.names("new")[:700]:
            (site.spool / "new" / name).unlink()

    taker = importer_of(layout, sleep=drain)
    for number in range(1, 2501):
        taker.import_item(kept_event(number))

    assert (2500, MAX_NEW_EVENTS) == (taker.done, most)


def test_replay_waits_while_the_hooks_have_many_events(site: CommandSite, layout: Layout) -> None:
    """The events of the hooks are processed first."""
    for number in range(MAX_NEW_EVENTS + 5):
        site.put_event(f"1-stop-{number + 1}-0-0-9")
    naps: list[float] = []

    def drain(seconds: float) -> None:
        naps.append(seconds)
        (site.spool / "new" / site.names("new")[0]).unlink()

    importer_of(layout, sleep=drain).import_item(kept_event(9000))

    assert 6 == len(naps)


def test_without_a_drain_a_full_spool_ends_the_replay(
    site: CommandSite, other: CommandSite
) -> None:
    """No process would empty new/: `replay` exits with 75; imported events stay imported."""
    for number in range(MAX_NEW_EVENTS + 1):
        other.put_event(f"1-start-{number + 1}-0-0-1")
    said = site.call("replay", other.spool, "--json")

    assert 75 == said.code
    assert ((MAX_NEW_EVENTS, 0, 0), False) == (counts(said), said.json["complete"])
    assert "no drain is running: start it, then repeat this command" in said.err


def test_a_running_drain_is_detected_by_its_lock(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state file that an ended drain has left does not count."""
    seen: list[bool] = []

    def no_room(*_: object, is_drained: Callable[[], bool], **__: object) -> NoRoom:
        seen.append(is_drained())
        return NoRoom()

    monkeypatch.setattr(replay, "Throttle", no_room)
    lock = take_lock(site.state / "drain.lock", site.state / "drain.json")
    site.call("replay", archived(site, REPORTED))
    lock.release()
    site.call("replay", archived(site, REPORTED))

    assert [True, False] == seen


class NoRoom:
    """A spool without free space."""

    @staticmethod
    def has_space_for_run() -> bool:
        """Return False."""
        return False


def test_a_nearly_full_disk_ends_the_replay(site: CommandSite) -> None:
    """Live jobs need the space below spool.min_free_bytes: `replay` exits with 75."""
    site.document["spool"]["min_free_bytes"] = 2**50
    site.write()
    said = site.call("replay", archived(site, REPORTED), "--json")

    assert (75, (0, 0, 0), False) == (said.code, counts(said), said.json["complete"])
    assert "free space is below spool.min_free_bytes" in said.err


def test_the_free_space_is_checked_once_per_100_runs(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`replay` makes two checks for 101 runs."""
    looks: list[int] = []

    def free_bytes() -> int:
        looks.append(1)
        return 1

    monkeypatch.setattr(layout, "free_bytes", free_bytes)
    room = Throttle(layout, is_drained=lambda: True, min_free_bytes=0)

    assert all(room.has_space_for_run() for _ in range(RUNS_PER_SPACE_CHECK + 1))
    assert 2 == len(looks)


def test_the_json_report_of_replay_is_one_object(site: CommandSite) -> None:
    """`replay --json` prints the keys done, known, refused, complete and dry_run."""
    said = site.call("replay", archived(site, REPORTED), "--json")

    assert {"done": 1, "known": 0, "refused": [], "complete": True, "dry_run": False} == json.loads(
        said.out
    )

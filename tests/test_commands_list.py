"""`cc-spool list`: runs and events, with filters and a limited number of lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of
from command_views import END, EVENT, filled

from spool.commands import list as list_command
from spool.files.layout import Directory, Layout
from spool.files.lock import take_lock


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


def test_list_shows_each_file_once(site: CommandSite) -> None:
    """The order is new/, todo/, open/, dead/, in which a run passes the directories."""
    found = filled(site).call("list", "--json").json

    assert [
        (EVENT, 7, "new", "start event"),
        (f"5-{NOON}.json", 5, "todo", "run"),
        (f"8-{NOON}.json", 8, "open", "run"),
        (f"6-{NOON}.json", 6, "open", "run"),
        (f"9-{NOON}.json", 9, "dead", "run"),
        ("odd", None, "dead", "file"),
    ] == [(each["id"], each["job_id"], each["state"], each["kind"]) for each in found]


def test_a_listed_run_has_its_attempts_and_last_error(site: CommandSite) -> None:
    """`list dead --json` shows attempts, start, end and the server's message."""
    site.put(Directory.DEAD, run_of(9, end=END, attempts=2, last_error=REFUSED))
    (found,) = site.call("list", "dead", "--json").json

    assert (2, NOON, END.time) == (found["attempts"], found["start"], found["end"])
    assert "no such subcluster" == found["last_error"]["message"]


@pytest.mark.parametrize(
    ("directory", "ids"),
    [
        ("new", [EVENT]),
        ("todo", [f"5-{NOON}.json"]),
        ("open", [f"8-{NOON}.json", f"6-{NOON}.json"]),
    ],
)
def test_list_can_be_limited_to_one_directory(
    site: CommandSite, directory: str, ids: list[str]
) -> None:
    """`list todo` shows no file of another directory."""
    found = filled(site).call("list", directory, "--json").json

    assert ids == [each["id"] for each in found]


def test_list_prints_one_line_for_each_file(site: CommandSite) -> None:
    """A header line comes first; an empty list has no header."""
    empty = site.call("list")
    said = filled(site).call("list")

    assert (0, "") == (empty.code, empty.out)
    assert ["in", "new", "todo", "open", "open", "dead", "dead"] == [
        line.split()[0] for line in said.out.splitlines()
    ]


def crowd(site: CommandSite) -> CommandSite:
    """Put five runs of two users into `todo/`, one second after the other."""
    for number in range(5):
        run = run_of(number + 1, NOON + number)
        job = replace(run.job, user=("anna", "bob")[number % 2])
        error = REFUSED if number == 4 else None
        site.put(Directory.TODO, replace(run, job=job, last_error=error, not_before=NOON * 2))
    return site


@pytest.mark.parametrize(
    ("arguments", "jobs", "rest"),
    [
        ([], [1, 2, 3, 4, 5], 0),
        (["--limit", "2"], [1, 2], 3),
        (["--limit", "5"], [1, 2, 3, 4, 5], 0),
        (["--limit", "0"], [1, 2, 3, 4, 5], 0),
        (["--user", "bob"], [2, 4], 0),
        (["--user", "bob", "--limit", "1"], [2], 3),
        (["--reason", "NO SUCH subcluster"], [5], 0),
        (["--user", "bob", "--reason", "no such"], [], 0),
        (["--older", "1000w"], [], 0),
        (["--older", "1s"], [1, 2, 3, 4, 5], 0),
    ],
)
def test_list_has_filters_and_a_limit(
    drained: CommandSite, arguments: list[str], jobs: list[int], rest: int
) -> None:
    """Filters are user, age and reason; with --limit, stderr counts the files not shown."""
    said = crowd(drained).call("list", "--json", *arguments)
    words = f"{rest} more files not shown" if rest else ""

    assert jobs == [each["job_id"] for each in said.json]
    assert words in said.err
    assert bool(rest) == bool(said.err)


def test_list_opens_only_the_files_it_prints(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spool with 100 000 runs can thus be listed in a second."""
    opened: list[str] = []
    read = Layout.read

    def traced(layout: Layout, directory: Directory, name: str, limit_bytes: int) -> object:
        opened.append(name)
        return read(layout, directory, name, limit_bytes)

    monkeypatch.setattr(Layout, "read", traced)
    crowd(site).call("list", "--limit", "1")
    listed, opened[:] = list(opened), []
    site.call("show", "3")

    assert ([f"1-{NOON}.json"], [f"3-{NOON + 2}.json"]) == (listed, opened)


def test_a_file_that_is_removed_during_the_list_is_omitted(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drain may deliver a run and remove its file while `list` works."""
    crowd(site)
    monkeypatch.setattr(list_command, "read_file", lambda *_: None)

    assert [] == site.call("list", "--json").json


@pytest.mark.parametrize(
    "arguments", [["--limit", "-1"], ["--limit", "x"], ["--limit", "9" * 30], ["--older", "soon"]]
)
def test_a_wrong_option_of_list_is_an_error(site: CommandSite, arguments: list[str]) -> None:
    """A --limit below 0, too large or not a number, and a wrong --older, exit with 2."""
    assert 2 == site.call("list", *arguments).code


def test_an_event_is_found_by_the_user_of_its_job(site: CommandSite) -> None:
    """The hook writes the user into the event if it knows the user."""
    site.put_event(EVENT, "user=anna\nend\n")

    assert [7] == [each["job_id"] for each in site.call("list", "--json", "--user", "anna").json]


def test_an_unknown_directory_is_a_wrong_argument(site: CommandSite) -> None:
    """`list tmp` exits with 2, because files in tmp/ are not listed."""
    assert 2 == site.call("list", "tmp").code

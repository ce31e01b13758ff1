"""`cc-spool retry` of dead letters: which are selected, and the result for each."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of
from dead_letter_site import DEAD, EVENT, site_with_dead_letters

from spool.commands import dead_letters
from spool.files.layout import Directory, Layout


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with three dead runs of two jobs, a dead event and an open run."""
    return site_with_dead_letters(tmp_path / "site")


def test_retry_all_requeues_the_oldest_run_first(site: CommandSite) -> None:
    """`retry ALL` sorts dead runs by their start; a dead event goes back to new/ last."""
    said = site.call("retry", "ALL")

    assert 0 == said.code
    assert [*(f"{name} is requeued" for name in DEAD), f"{EVENT} is put back into new/"] == (
        said.out.splitlines()
    )
    assert (sorted(DEAD), [EVENT]) == (site.names("todo"), site.names("new"))


def test_a_job_id_selects_all_its_runs(site: CommandSite) -> None:
    """`retry 5` requeues both dead runs of job 5 and no run of another job."""
    site.call("retry", "5")

    assert [DEAD[0], DEAD[2]] == site.names("todo")


@pytest.mark.parametrize(("wanted", "left"), [(DEAD[1], 4), (EVENT, 3), ("7", 3)])
def test_an_id_can_select_one_dead_letter(site: CommandSite, wanted: str, left: int) -> None:
    """The ID is the name of a run, the name of an event or the job id of an event."""
    said = site.call("discard", wanted, "--yes")

    assert (0, 1) == (said.code, len(said.out.splitlines()))
    assert left == len(site.names("dead"))


@pytest.mark.parametrize("verb", ["retry", "discard"])
@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("99", "99: no dead letter has this name or job id"),
        (
            "all",
            "all: no dead letter has this name or job id; write ALL in upper case",
        ),
        (
            "10",
            f"10-{NOON}.json is in open/: it is not a dead letter; `cc-spool show` shows its state",
        ),
    ],
)
def test_only_dead_letters_are_retried_or_discarded(
    site: CommandSite, verb: str, wanted: str, words: str
) -> None:
    """The message names the directory of the file, if there is a file."""
    said = site.call(verb, wanted)

    assert (2, "", f"cc-spool: error: {words}\n") == (said.code, said.out, said.err)


@pytest.mark.parametrize("verb", ["retry", "discard"])
@pytest.mark.parametrize(("options", "out"), [((), ""), (("--json",), "[]\n")])
def test_all_without_dead_letters_is_no_error(
    tmp_path: Path, verb: str, options: tuple[str, ...], out: str
) -> None:
    """`retry ALL` and `discard ALL` exit with 0; the output is empty, or `[]` with --json."""
    for more in ((), ("--dry-run",)):
        said = CommandSite(tmp_path / f"site{len(more)}").call(verb, "ALL", *options, *more)

        assert (0, out, "") == (said.code, said.out, said.err)


def test_a_refused_dead_letter_does_not_stop_the_others(site: CommandSite) -> None:
    """`retry` reports a damaged file, requeues the others and exits with 11."""
    site.add_dead_letter("1-5.json", b"{", origin="todo")
    said = site.call("retry", "ALL")

    assert 11 == said.code
    assert "1-5.json: not JSON" in said.err
    assert sorted(DEAD) == site.names("todo")


def test_a_dead_letter_that_is_removed_meanwhile_is_skipped(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command may remove the file of the run after `retry` has selected it."""
    found = dead_letters.select

    def choose(layout: Layout, wanted: str) -> list[str]:
        chosen = found(layout, wanted)
        (site.spool / "dead" / DEAD[0]).unlink()
        return chosen

    monkeypatch.setattr(dead_letters, "select", choose)
    said = site.call("retry", "5")

    assert (0, f"{DEAD[2]} is requeued\n") == (said.code, said.out)


def test_an_unreadable_dead_letter_does_not_stop_the_others(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has an error in only one file; `retry ALL` names it and exits with 11."""
    read = Layout.read

    def failing(layout: Layout, directory: Directory, name: str, limit_bytes: int) -> object:
        if name == DEAD[0]:
            raise OSError(errno.EIO, "Input/output error")
        return read(layout, directory, name, limit_bytes)

    monkeypatch.setattr(Layout, "read", failing)
    said = site.call("retry", "ALL")

    assert (11, [DEAD[0]]) == (said.code, site.names("dead"))
    assert f"{DEAD[0]}: Input/output error" in said.err


def test_a_dead_event_that_is_removed_meanwhile_is_skipped(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command may move or remove the file of the event before `retry` does."""

    def vanish(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(Layout, "rename", vanish)

    assert (0, "") == (site.call("retry", EVENT).code, site.call("retry", EVENT).out)


@pytest.mark.parametrize("limit", ["GROUP_SIZE", "GROUP_BYTES"])
def test_more_dead_letters_than_one_group_are_all_retried(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """`retry` writes dead letters to disk in groups; here a group is limited to 2."""
    monkeypatch.setattr(dead_letters, limit, 2)
    said = site.call("retry", "ALL")

    assert (0, 4) == (said.code, len(said.out.splitlines()))
    assert ([], sorted(DEAD)) == (site.names("dead"), site.names("todo"))


def test_retry_prints_each_dead_letter_as_a_json_object(site: CommandSite) -> None:
    """A requeued dead letter has `done: true`, a refused one `done: false`."""
    site.add_dead_letter("1-5.json", b"{", origin="todo")
    found = site.call("retry", "ALL", "--json").json

    assert {"id": DEAD[0], "job_id": 5, "done": True, "words": "is requeued"} in found
    assert [False] == [each["done"] for each in found if each["job_id"] == 1]


def test_a_retried_run_keeps_its_script(site: CommandSite) -> None:
    """The run's file in todo/ has the script, which is sent with the start."""
    run = site.put(Directory.DEAD, run_of(8, script="#!/bin/sh\n", last_error=REFUSED))
    site.call("retry", "8")

    assert b"#!/bin/sh" in (site.spool / "todo" / run.name).read_bytes()


def test_a_retried_run_keeps_the_time_when_it_was_first_seen(site: CommandSite) -> None:
    """The modification time of the run's file is this time, so the file need not be opened."""
    run = site.put(Directory.DEAD, run_of(8, last_error=REFUSED))
    site.call("retry", "8")

    assert NOON == (site.spool / "todo" / run.name).stat().st_mtime

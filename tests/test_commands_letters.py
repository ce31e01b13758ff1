"""`cc-spool retry` and `discard`: which dead letters are chosen, questions and messages."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of

from spool.commands import dead_letters
from spool.files.layout import Directory, Layout
from spool.files.lock import take_lock
from spool.files.run import End, EndSource

END = End(time=NOON + 100, state="COMPLETED", source=EndSource.CONTROLLER)
EVENT = "1-start-7-0-0-77"


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with three dead runs of two jobs, a dead event and an open run."""
    made = CommandSite(tmp_path / "site")
    for job_id, start in ((5, NOON + 2), (5, NOON), (6, NOON + 1)):
        made.put(Directory.DEAD, run_of(job_id, start, end=END, last_error=REFUSED))
    made.bury(EVENT, b"end\n")
    made.put(Directory.OPEN, run_of(10, started=NOON))
    return made


DEAD = [f"5-{NOON}.json", f"6-{NOON + 1}.json", f"5-{NOON + 2}.json"]


def test_all_are_retried_oldest_first(site: CommandSite) -> None:
    """By the start of the run."""
    said = site.call("retry", "ALL")

    assert 0 == said.code
    assert [*(f"{name} is requeued" for name in DEAD), f"{EVENT} is put back into new/"] == (
        said.out.splitlines()
    )
    assert (sorted(DEAD), [EVENT]) == (site.names("todo"), site.names("new"))


def test_a_job_id_means_all_its_runs(site: CommandSite) -> None:
    """And nothing of other jobs."""
    site.call("retry", "5")

    assert [DEAD[0], DEAD[2]] == site.names("todo")


@pytest.mark.parametrize(("wanted", "left"), [(DEAD[1], 4), (EVENT, 3), ("7", 3)])
def test_a_name_or_the_job_of_an_event_means_one(site: CommandSite, wanted: str, left: int) -> None:
    """A file's name is enough."""
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
def test_what_is_not_dead_is_not_treated(
    site: CommandSite, verb: str, wanted: str, words: str
) -> None:
    """The message says where it lies, if anywhere."""
    said = site.call(verb, wanted)

    assert (2, "", f"cc-spool: error: {words}\n") == (said.code, said.out, said.err)


@pytest.mark.parametrize("verb", ["retry", "discard"])
@pytest.mark.parametrize(("options", "out"), [((), ""), (("--json",), "[]\n")])
def test_all_of_nothing_is_fine(
    tmp_path: Path, verb: str, options: tuple[str, ...], out: str
) -> None:
    """Nothing is to be done: no line, but a list that a script can read."""
    for more in ((), ("--dry-run",)):
        said = CommandSite(tmp_path / f"site{len(more)}").call(verb, "ALL", *options, *more)

        assert (0, out, "") == (said.code, said.out, said.err)


def test_a_letter_that_is_refused_does_not_stop_the_others(site: CommandSite) -> None:
    """It is named, and the exit code shows it."""
    site.bury("1-5.json", b"{", origin="todo")
    said = site.call("retry", "ALL")

    assert 11 == said.code
    assert "1-5.json: not JSON" in said.err
    assert sorted(DEAD) == site.names("todo")


def test_a_letter_that_vanishes_is_passed_over(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else was faster."""
    found = dead_letters.select

    def choose(layout: Layout, wanted: str) -> list[str]:
        chosen = found(layout, wanted)
        (site.spool / "dead" / DEAD[0]).unlink()
        return chosen

    monkeypatch.setattr(dead_letters, "select", choose)
    said = site.call("retry", "5")

    assert (0, f"{DEAD[2]} is requeued\n") == (said.code, said.out)


def test_a_letter_that_cannot_be_read_does_not_stop_the_others(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails for one file alone."""
    read = Layout.read

    def failing(layout: Layout, directory: Directory, name: str, limit_bytes: int) -> object:
        if name == DEAD[0]:
            raise OSError(errno.EIO, "Input/output error")
        return read(layout, directory, name, limit_bytes)

    monkeypatch.setattr(Layout, "read", failing)
    said = site.call("retry", "ALL")

    assert (11, [DEAD[0]]) == (said.code, site.names("dead"))
    assert f"{DEAD[0]}: Input/output error" in said.err


def test_a_letter_that_goes_while_it_is_returned_is_passed_over(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else was faster."""

    def vanish(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(Layout, "rename", vanish)

    assert (0, "") == (site.call("retry", EVENT).code, site.call("retry", EVENT).out)


def test_a_full_directory_is_not_discarded(site: CommandSite) -> None:
    """The operator knows what it is."""
    (site.spool / "dead" / "odd" / "more").mkdir(parents=True)
    said = site.call("discard", "odd", "--yes")

    assert (11, True) == (said.code, "remove it with rm -r" in said.err)


@pytest.mark.parametrize("limit", ["GROUP_SIZE", "GROUP_BYTES"])
def test_more_letters_than_a_group_are_all_retried(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Each group is made durable at once."""
    monkeypatch.setattr(dead_letters, limit, 2)
    said = site.call("retry", "ALL")

    assert (0, 4) == (said.code, len(said.out.splitlines()))
    assert ([], sorted(DEAD)) == (site.names("dead"), site.names("todo"))


def test_a_dry_run_does_nothing(site: CommandSite) -> None:
    """Also without --yes."""
    dry = site.call("discard", "ALL", "--dry-run")

    assert [*sorted([*DEAD, EVENT, f"{EVENT}.why"])] == site.names("dead")
    assert "dry run, nothing was changed: 4 would be done, 0 would be refused" in dry.err


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("verb", ["retry", "discard"])
def test_a_dry_run_says_what_would_be_done(
    site: CommandSite, verb: str, options: tuple[str, ...]
) -> None:
    """Of runs and events, of one that may still run, and of one that lies elsewhere too."""
    site.put(Directory.DEAD, run_of(8, last_error=REFUSED))
    site.put(Directory.TODO, run_of(9))
    site.put(Directory.DEAD, run_of(9, last_error=REFUSED))
    dry = site.call(verb, "ALL", "--dry-run", *options)
    lines = [each["words"] for each in dry.json] if options else dry.out.splitlines()

    assert {"retry": 7, "discard": 6}[verb] == len(lines)  # with the pending run
    assert [] == [line for line in lines if "would be " not in line]


def test_retry_as_json(site: CommandSite) -> None:
    """One object a letter."""
    site.bury("1-5.json", b"{", origin="todo")
    found = site.call("retry", "ALL", "--json").json

    assert {"id": DEAD[0], "job_id": 5, "done": True, "words": "is requeued"} in found
    assert [False] == [each["done"] for each in found if each["job_id"] == 1]


def test_discard_off_a_terminal_needs_yes(site: CommandSite) -> None:
    """Nobody can be asked there."""
    said = site.call("discard", "ALL")

    assert 2 == said.code
    assert "add --yes" in said.err
    assert 5 == len(site.names("dead"))


@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("Yes", 0), ("n", 5), ("", 5)])
def test_discard_asks_on_a_terminal(site: CommandSite, answer: str, left: int) -> None:
    """And takes everything but yes for a no."""
    said = site.call("discard", "ALL", stdin=f"{answer}\n", terminal=True)

    assert (0, left) == (said.code, len(site.names("dead")))
    assert said.err.startswith("discard 4 dead letters permanently? [y/N] ")


def test_a_live_run_is_discarded_with_a_mark(site: CommandSite) -> None:
    """The words say what becomes of its job."""
    run = site.put(Directory.DEAD, run_of(8, last_error=REFUSED))
    said = site.call("discard", "8", "--yes")

    assert "it left a mark in open/, so that no sweep reports the job" in said.out
    assert [run.name] == site.names("todo")


def test_a_retried_run_keeps_its_script(site: CommandSite) -> None:
    """It is delivered with it."""
    run = site.put(Directory.DEAD, run_of(8, script="#!/bin/sh\n", last_error=REFUSED))
    site.call("retry", "8")

    assert b"#!/bin/sh" in (site.spool / "todo" / run.name).read_bytes()


def test_a_retried_run_waits_since_it_was_seen(site: CommandSite) -> None:
    """Its file's time says so; nobody need open it."""
    run = site.put(Directory.DEAD, run_of(8, last_error=REFUSED))
    site.call("retry", "8")

    assert NOON == (site.spool / "todo" / run.name).stat().st_mtime


def test_pending_runs_are_delivered_now(site: CommandSite) -> None:
    """By an event for each job; the drain drops their waits."""
    for job_id, start in ((20, NOON), (20, NOON + 1), (21, NOON)):
        site.put(Directory.TODO, run_of(job_id, start, not_before=NOON * 2))
    said = site.call("retry", "20")

    assert [f"20-{NOON}.json is delivered as soon as a drain runs"] == said.out.splitlines()[:1]
    assert [f"1-retry-20-0-0-{os.getpid()}"] == site.names("new")
    assert (0, 2) == (said.code, len(said.out.splitlines()))


def test_all_means_dead_letters_and_pending_runs(site: CommandSite) -> None:
    """One event is enough for all that is pending."""
    site.put(Directory.TODO, run_of(20))
    (site.spool / "todo" / "odd").touch()
    said = site.call("retry", "ALL")

    assert f"1-retry-0-0-0-{os.getpid()}" in site.names("new")
    assert "1 run in todo/: each is delivered as soon as a drain runs" in said.out.splitlines()


def test_a_running_drain_is_said_to_deliver_now(site: CommandSite) -> None:
    """In JSON, too."""
    site.put(Directory.TODO, run_of(20))
    lock = take_lock(site.state / "drain.lock", site.state / "drain.json")
    (found,) = site.call("retry", "20", "--json").json
    lock.release()

    words = "is delivered now: the drain is running"
    assert {"id": f"20-{NOON}.json", "job_id": 20, "done": True, "words": words} == found


@pytest.mark.parametrize("wanted", ["20", "ALL"])
def test_a_dry_run_writes_no_event(site: CommandSite, wanted: str) -> None:
    """And says what would be done."""
    site.put(Directory.TODO, run_of(20))
    said = site.call("retry", wanted, "--dry-run")

    assert [] == site.names("new")
    assert "would be delivered as soon as a drain runs" in said.out


def test_what_is_no_run_in_todo_is_not_retried(site: CommandSite) -> None:
    """The drain sets it aside by itself."""
    (site.spool / "todo" / "odd").touch()

    assert (
        "odd is in todo/: it is not a dead letter; `cc-spool show` shows its state"
        in site.call("retry", "odd").err
    )

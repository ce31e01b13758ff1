"""`cc-spool retry` of pending runs, which the drain then delivers at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command_site import NOON, CommandSite, run_of
from dead_letter_site import site_with_dead_letters

from spool.files.layout import Directory
from spool.files.lock import take_lock


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with three dead runs of two jobs, a dead event and an open run."""
    return site_with_dead_letters(tmp_path / "site")


def test_retry_of_a_pending_job_writes_an_event(site: CommandSite) -> None:
    """By this event the drain delivers the job's runs without waiting for their next attempt."""
    for job_id, start in ((20, NOON), (20, NOON + 1), (21, NOON)):
        site.put(Directory.TODO, run_of(job_id, start, not_before=NOON * 2))
    said = site.call("retry", "20")

    assert [
        f"20-{NOON}.json is delivered when the drain runs (see `cc-spool status`)"
    ] == said.out.splitlines()[:1]
    assert [f"1-retry-20-0-0-{os.getpid()}"] == site.names("new")
    assert (0, 2) == (said.code, len(said.out.splitlines()))


def test_all_selects_dead_letters_and_pending_runs(site: CommandSite) -> None:
    """`retry ALL` writes one event, with job id 0, for all pending runs."""
    site.put(Directory.TODO, run_of(20))
    (site.spool / "todo" / "odd").touch()
    said = site.call("retry", "ALL")

    assert f"1-retry-0-0-0-{os.getpid()}" in site.names("new")
    assert (
        "1 run in todo/: each is delivered when the drain runs (see `cc-spool status`)"
        in said.out.splitlines()
    )


def test_the_message_says_that_a_running_drain_delivers_now(site: CommandSite) -> None:
    """`retry --json` says `is delivered now: the drain is running` in `words`."""
    site.put(Directory.TODO, run_of(20))
    lock = take_lock(site.state / "drain.lock", site.state / "drain.json")
    (found,) = site.call("retry", "20", "--json").json
    lock.release()

    words = "is delivered now: the drain is running"
    assert {"id": f"20-{NOON}.json", "job_id": 20, "done": True, "words": words} == found


@pytest.mark.parametrize("wanted", ["20", "ALL"])
def test_a_dry_run_writes_no_event(site: CommandSite, wanted: str) -> None:
    """`retry --dry-run` says that the run would be delivered."""
    site.put(Directory.TODO, run_of(20))
    said = site.call("retry", wanted, "--dry-run")

    assert [] == site.names("new")
    assert "would be delivered when the drain runs (see `cc-spool status`)" in said.out


def test_a_file_in_todo_that_is_not_a_run_is_not_retried(site: CommandSite) -> None:
    """The drain moves a file without the name of a run to dead/ by itself."""
    (site.spool / "todo" / "odd").touch()

    assert (
        "odd is in todo/: it is not a dead letter; `cc-spool show` shows its state"
        in site.call("retry", "odd").err
    )

"""`cc-spool discard`: what it refuses, what it asks and its messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_site import REFUSED, CommandSite, run_of
from dead_letter_site import DEAD, EVENT, site_with_dead_letters

from spool.files.layout import Directory


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with three dead runs of two jobs, a dead event and an open run."""
    return site_with_dead_letters(tmp_path / "site")


def test_a_directory_with_contents_is_not_discarded(site: CommandSite) -> None:
    """The exit code is 11; the message says to remove the directory with `rm -r`."""
    (site.spool / "dead" / "odd" / "more").mkdir(parents=True)
    said = site.call("discard", "odd", "--yes")

    assert (11, True) == (said.code, "remove it with rm -r" in said.err)


def test_a_dry_run_discards_nothing(site: CommandSite) -> None:
    """`discard ALL --dry-run` changes no file in dead/ and does not need --yes."""
    dry = site.call("discard", "ALL", "--dry-run")

    assert [*sorted([*DEAD, EVENT, f"{EVENT}.why"])] == site.names("dead")
    assert "dry run, nothing was changed: 4 would succeed, 0 would be refused" in dry.err


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("verb", ["retry", "discard"])
def test_a_dry_run_says_what_would_be_done(
    site: CommandSite, verb: str, options: tuple[str, ...]
) -> None:
    """Lines say `would be ...` for runs, events and a run that also has a file in todo/."""
    site.put(Directory.DEAD, run_of(8, last_error=REFUSED))
    site.put(Directory.TODO, run_of(9))
    site.put(Directory.DEAD, run_of(9, last_error=REFUSED))
    dry = site.call(verb, "ALL", "--dry-run", *options)
    lines = [each["words"] for each in dry.json] if options else dry.out.splitlines()

    assert {"retry": 7, "discard": 6}[verb] == len(lines)  # with the pending run
    assert [] == [line for line in lines if "would be " not in line]


def test_discard_without_a_terminal_requires_yes(site: CommandSite) -> None:
    """Without a terminal the command cannot ask for confirmation."""
    said = site.call("discard", "ALL")

    assert 2 == said.code
    assert "add --yes" in said.err
    assert 5 == len(site.names("dead"))


@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("Yes", 0), ("n", 5), ("", 5)])
def test_discard_asks_on_a_terminal(site: CommandSite, answer: str, left: int) -> None:
    """`y` and `Yes` discard the dead letters; any other answer means no."""
    said = site.call("discard", "ALL", stdin=f"{answer}\n", terminal=True)

    assert (0, left) == (said.code, len(site.names("dead")))
    assert said.err.startswith("discard 4 dead letters permanently? [y/N] ")


def test_discarding_a_run_of_a_running_job_leaves_a_file(site: CommandSite) -> None:
    """The message says that the remaining file keeps sweeps from reporting the job again."""
    run = site.put(Directory.DEAD, run_of(8, last_error=REFUSED))
    said = site.call("discard", "8", "--yes")

    assert "a mark in open/ keeps sweeps from reporting the job again" in said.out
    assert [run.name] == site.names("todo")

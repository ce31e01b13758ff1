"""Discard dead letters: what is removed, and what leaves a mark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of
from dead_letter_changes import discard, retry
from drain_world import World

from spool.errors import BadFileError
from spool.files import codec
from spool.files.codec import load_run
from spool.files.dead_letters import DISCARDED
from spool.files.layout import Directory, Layout
from spool.files.run import End, EndSource, Run

END = End(time=NOON + 100, state="COMPLETED", source=EndSource.CONTROLLER)
DEAD = run_of(5, end=END, attempts=3, not_before=NOON + 50, last_error=REFUSED)
LIVE = run_of(5, attempts=3, last_error=REFUSED)


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def layout(site: CommandSite) -> Iterator[Layout]:
    """Return its spool."""
    with Layout(site.spool) as made:
        yield made


@pytest.mark.parametrize("run", [DEAD, replace(LIVE, reported=False, reason="opted out")])
def test_a_discarded_run_is_removed(site: CommandSite, layout: Layout, run: Run) -> None:
    """The run has ended or was excluded; no file of it is left in the spool."""
    site.put(Directory.DEAD, run)

    assert "is discarded" == discard(layout, run.name)
    assert {} == site.files()


@pytest.mark.parametrize("contents", [b"{", b'{"version": 2}'])
def test_a_discarded_unreadable_file_is_removed(
    site: CommandSite, layout: Layout, contents: bytes
) -> None:
    """A bad run file and a file with an odd name are removed together with their `.why` files."""
    site.add_dead_letter(DEAD.name, contents, origin="todo")
    site.add_dead_letter("odd")
    discard(layout, DEAD.name)
    discard(layout, "odd")

    assert {} == site.files()


def test_an_empty_directory_can_be_discarded(site: CommandSite, layout: Layout) -> None:
    """Another program put the empty directory into `dead/`."""
    (site.spool / "dead" / "odd").mkdir()
    discard(layout, "odd")

    assert {} == site.files()


def test_a_directory_with_contents_is_not_discarded(site: CommandSite, layout: Layout) -> None:
    """The error names `rm -r`: only an administrator can know what the contents are."""
    (site.spool / "dead" / "odd" / "more").mkdir(parents=True)

    with pytest.raises(BadFileError, match="remove it with rm -r"):
        discard(layout, "odd")


def test_a_discarded_running_run_becomes_excluded(site: CommandSite, layout: Layout) -> None:
    """A run file with `reported: false` in `todo/` keeps a sweep from reporting the job again."""
    site.put(Directory.DEAD, LIVE)
    discard(layout, LIVE.name)

    mark = load_run(layout, Directory.TODO, LIVE.name)
    assert (False, DISCARDED, 0, None) == (
        mark.reported,
        mark.reason,
        mark.attempts,
        mark.last_error,
    )
    assert {"todo": [LIVE.name]} == site.files()


@pytest.mark.parametrize("restarts", [False, True])
def test_an_excluded_ended_run_in_todo_is_removed(tmp_path: Path, *, restarts: bool) -> None:
    """The drain removes a file that an administrator put there by hand, and sends nothing."""
    world = World(tmp_path)
    mark = run_of(5, end=END, reported=False, reason="opted out")
    (world.root / "todo" / mark.name).write_bytes(codec.encode(mark))
    if restarts:
        world.boot()
    world.run(3)

    assert {} == world.files()
    assert [] == world.backend.documents


def test_nothing_is_left_in_tmp(site: CommandSite, layout: Layout) -> None:
    """Neither discard nor retry leaves a temporary file."""
    site.put(Directory.DEAD, LIVE)
    discard(layout, LIVE.name)
    site.put(Directory.DEAD, LIVE)
    retry(layout, LIVE.name)

    assert [] == site.names("tmp")

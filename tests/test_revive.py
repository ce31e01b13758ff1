"""Dead letters are tried again or given up, while a drain may hold the lock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of
from drain_world import World
from letters import discard, retry

from ccbackend.outcomes import Reason
from spool.errors import BadFileError
from spool.files import codec, dead_letters
from spool.files.dead_letters import DISCARDED
from spool.files.durable_files import load_run
from spool.files.layout import Directory, Layout
from spool.files.run import End, EndSource, Run

END = End(time=NOON + 100, state="COMPLETED", source=EndSource.CONTROLLER)
DEAD = run_of(5, end=END, attempts=3, not_before=NOON + 50, last_error=REFUSED)
LIVE = run_of(5, attempts=3, last_error=REFUSED)
EVENT = "1-start-5-0-0-77"


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def layout(site: CommandSite) -> Iterator[Layout]:
    """Return its spool."""
    with Layout(site.spool) as made:
        yield made


def inside(site: CommandSite) -> dict[str, list[str]]:
    """Return what lies where."""
    found = {str(directory): site.names(directory) for directory in Directory}
    return {directory: names for directory, names in found.items() if names}


def test_a_retried_run_is_as_if_never_refused(site: CommandSite, layout: Layout) -> None:
    """Attempts, waiting time and error are gone; its times stay."""
    site.put(Directory.DEAD, DEAD)
    retry(layout, DEAD.name)

    assert {"todo": [DEAD.name]} == inside(site)
    assert run_of(5, end=END) == load_run(layout, Directory.TODO, DEAD.name)


def test_a_run_that_lies_elsewhere_too_counts_there(site: CommandSite, layout: Layout) -> None:
    """A newer run file is never replaced by its dead copy."""
    site.put(Directory.DEAD, DEAD)
    newer = site.put(Directory.OPEN, run_of(5, started=NOON + 7))
    words = retry(layout, DEAD.name)

    assert "is in open/ already; the dead letter is removed" == words
    assert {"open": [DEAD.name]} == inside(site)
    assert newer == load_run(layout, Directory.OPEN, DEAD.name)


def test_a_run_that_arrives_meanwhile_is_not_replaced(
    site: CommandSite, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when the drain writes it between our look and our write."""
    site.put(Directory.DEAD, DEAD)
    newer = site.put(Directory.TODO, run_of(5, started=NOON + 7))
    monkeypatch.setattr(dead_letters, "active_directory", lambda *_: None)
    retry(layout, DEAD.name)

    assert {"todo": [DEAD.name]} == inside(site)
    assert newer == load_run(layout, Directory.TODO, DEAD.name)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"{", "repair the file, or type `cc-spool discard ID`"),
        (codec.encode(run_of(6)), "its name does not match"),
        (
            b'{"version": 2}',
            "written by a later version",
        ),
    ],
)
def test_a_run_that_cannot_be_read_is_not_retried(
    site: CommandSite, layout: Layout, contents: bytes, reason: str
) -> None:
    """It would only come back; the letter stays as it is."""
    site.bury(DEAD.name, contents, origin="todo")

    with pytest.raises(BadFileError, match=reason):
        retry(layout, DEAD.name)

    assert {"dead": [DEAD.name, f"{DEAD.name}.why"]} == inside(site)


def test_a_mended_run_is_retried(site: CommandSite, layout: Layout) -> None:
    """The reason goes with the letter; runs always go through todo/."""
    site.bury(DEAD.name, b"{", origin="open")
    (site.spool / "dead" / DEAD.name).write_bytes(codec.encode(DEAD))
    retry(layout, DEAD.name)

    assert {"todo": [DEAD.name]} == inside(site)


@pytest.mark.parametrize("name", [EVENT, "odd\n\x1b[0m name"])
def test_a_file_goes_back_where_it_came_from(site: CommandSite, layout: Layout, name: str) -> None:
    """Under its own name."""
    buried = site.bury(name, b"contents")

    assert "is put back into new/" == retry(layout, buried)
    assert {"new": [name]} == inside(site)
    assert b"contents" == (site.spool / "new" / name).read_bytes()


def test_an_event_without_its_reason_goes_back_to_new(site: CommandSite, layout: Layout) -> None:
    """Its name says what it is."""
    (site.spool / "dead" / EVENT).write_text("end\n")
    retry(layout, EVENT)

    assert {"new": [EVENT]} == inside(site)


def test_a_file_of_unknown_origin_is_not_retried(site: CommandSite, layout: Layout) -> None:
    """Nobody knows where it belongs."""
    (site.spool / "dead" / "odd").touch()

    with pytest.raises(BadFileError, match="its directory is not known"):
        retry(layout, "odd")


@pytest.mark.parametrize("origin", ["../state/drain.json", "other"])
def test_a_reason_of_another_file_leads_nowhere(
    site: CommandSite, layout: Layout, origin: str
) -> None:
    """A letter is renamed within the spool alone."""
    site.bury("odd")
    why = site.spool / "dead" / "odd.why"
    why.write_text(json.dumps(json.loads(why.read_text()) | {"name": origin}))

    with pytest.raises(BadFileError, match="is about another file"):
        retry(layout, "odd")


def test_a_file_does_not_replace_another(site: CommandSite, layout: Layout) -> None:
    """Somebody put one of its name there again."""
    site.bury(EVENT)
    site.put_event(EVENT)

    with pytest.raises(BadFileError, match="has a file of this name"):
        retry(layout, EVENT)


def test_a_letter_that_is_gone_is_said_to_be(site: CommandSite, layout: Layout) -> None:
    """Its reason alone is no letter."""
    site.bury(EVENT)
    (site.spool / "dead" / EVENT).unlink()

    with pytest.raises(FileNotFoundError):
        retry(layout, EVENT)


@pytest.mark.parametrize("deed", [retry, discard])
@pytest.mark.parametrize("run", [DEAD, LIVE])
def test_a_dry_run_changes_nothing(
    site: CommandSite, layout: Layout, deed: object, run: Run
) -> None:
    """And says what would be done."""
    site.put(Directory.DEAD, run)
    site.bury(EVENT)
    before = inside(site)
    assert callable(deed)
    dry = [deed(layout, name, dry_run=True) for name in (run.name, EVENT)]

    assert before == inside(site)
    assert ["would be ", "would be "] == [words[:9] for words in dry]


@pytest.mark.parametrize("run", [DEAD, replace(LIVE, reported=False, reason="opted out")])
def test_a_discarded_run_is_gone(site: CommandSite, layout: Layout, run: Run) -> None:
    """If it is over, or was not to be reported anyway."""
    site.put(Directory.DEAD, run)

    assert "is discarded" == discard(layout, run.name)
    assert {} == inside(site)


@pytest.mark.parametrize("contents", [b"{", b'{"version": 2}'])
def test_a_discarded_file_is_gone(site: CommandSite, layout: Layout, contents: bytes) -> None:
    """With its reason, readable or not."""
    site.bury(DEAD.name, contents, origin="todo")
    site.bury("odd")
    discard(layout, DEAD.name)
    discard(layout, "odd")

    assert {} == inside(site)


def test_an_empty_directory_can_be_discarded(site: CommandSite, layout: Layout) -> None:
    """Somebody put it into new/."""
    (site.spool / "dead" / "odd").mkdir()
    discard(layout, "odd")

    assert {} == inside(site)


def test_a_directory_with_contents_is_left_to_the_operator(
    site: CommandSite, layout: Layout
) -> None:
    """Who knows what it is."""
    (site.spool / "dead" / "odd" / "more").mkdir(parents=True)

    with pytest.raises(BadFileError, match="remove it with rm -r"):
        discard(layout, "odd")


def test_a_discarded_live_run_leaves_a_mark(site: CommandSite, layout: Layout) -> None:
    """Or the sweep would find its job missing and bring it back."""
    site.put(Directory.DEAD, LIVE)
    discard(layout, LIVE.name)

    mark = load_run(layout, Directory.TODO, LIVE.name)
    assert (False, DISCARDED, 0, None) == (
        mark.reported,
        mark.reason,
        mark.attempts,
        mark.last_error,
    )
    assert {"todo": [LIVE.name]} == inside(site)


class Refused:
    """A job that runs in Slurm and is refused by cc-backend: it lies in `dead/`."""

    def __init__(self, root: Path) -> None:
        self.world = World(root)
        self.world.backend.answers[5] = Reason.BAD_REQUEST
        self.world.begin(5)
        self.world.run()
        self.name = f"5-{NOON}.json"

    def discard(self) -> None:
        """Discard it, as the command does."""
        with Layout(self.world.root) as layout:
            discard(layout, self.name)

    def asked(self) -> int:
        """Return how many requests there were."""
        return len(self.world.backend.documents)


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Return such a job."""
    made = Refused(tmp_path)
    assert {"dead": [made.name]} == made.world.files()
    return made


def test_a_running_drain_moves_the_mark_to_open(refused: Refused) -> None:
    """Within a second or so, and delivers nothing."""
    asked = refused.asked()
    refused.discard()
    refused.world.run(3)

    assert {"open": [refused.name]} == refused.world.files()
    assert not refused.world.stored("open", 5).reported
    assert asked == refused.asked()


def test_a_drain_that_starts_later_moves_the_mark_to_open(refused: Refused) -> None:
    """Where the next one finds it, too."""
    refused.discard()
    refused.world.boot()
    refused.world.run()

    assert {"open": [refused.name]} == refused.world.files()


@pytest.mark.parametrize("restarts", [False, True])
def test_the_end_of_a_discarded_job_ends_its_mark(refused: Refused, *, restarts: bool) -> None:
    """It is not delivered, and nothing is left."""
    asked = refused.asked()
    refused.discard()
    if restarts:
        refused.world.boot()
    refused.world.run(3)
    refused.world.now += 100
    refused.world.end(5)
    refused.world.run(3)

    assert {} == refused.world.files()
    assert asked == refused.asked()


def test_a_start_event_does_not_bring_a_discarded_job_back(refused: Refused) -> None:
    """As a restarted controller or a sweep may write one."""
    asked = refused.asked()
    refused.discard()
    refused.world.run(3)
    refused.world.hook("start", 5)
    refused.world.run(3)

    assert {"open": [refused.name]} == refused.world.files()
    assert asked == refused.asked()


@pytest.mark.parametrize("restarts", [False, True])
def test_a_mark_of_a_run_that_is_over_goes(tmp_path: Path, *, restarts: bool) -> None:
    """Somebody put it there by hand; nothing of it is to be delivered."""
    world = World(tmp_path)
    mark = run_of(5, end=END, reported=False, reason="opted out")
    (world.root / "todo" / mark.name).write_bytes(codec.encode(mark))
    if restarts:
        world.boot()
    world.run(3)

    assert {} == world.files()
    assert [] == world.backend.documents


def test_a_retried_run_is_told_by_a_running_drain(refused: Refused) -> None:
    """When the cause is repaired."""
    refused.world.backend.answers.clear()
    with Layout(refused.world.root) as layout:
        retry(layout, refused.name)
    refused.world.run(3)

    assert {"open": [refused.name]} == refused.world.files()
    assert {(5, NOON): "running"} == refused.world.backend.rows


def test_nothing_is_left_in_tmp(site: CommandSite, layout: Layout) -> None:
    """Whatever was done."""
    site.put(Directory.DEAD, LIVE)
    discard(layout, LIVE.name)
    site.put(Directory.DEAD, LIVE)
    retry(layout, LIVE.name)

    assert [] == site.names("tmp")

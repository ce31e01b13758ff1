"""`cc-spool replay`: kept events and runs are delivered again, once, at a bearable pace."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of

from spool.commands import importer, replay
from spool.commands.importer import MAX_NEW_EVENTS, RUNS_PER_SPACE_CHECK, Importer, Throttle
from spool.files import codec, import_items
from spool.files.archive import DeliveredArchive
from spool.files.event import parse_event_name
from spool.files.import_items import ImportItem, read_import_items
from spool.files.layout import Directory, Layout
from spool.files.lock import take_lock
from spool.files.run import End, EndSource, Run

END = End(time=NOON + 100, state="COMPLETED", source=EndSource.CONTROLLER)
TOLD = run_of(5, end=END, started=NOON + 1, cluster="lab")
EVENT = "1-start-7-100-0-77"


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def other(tmp_path: Path) -> CommandSite:
    """Return another site, to be fed into the first."""
    return CommandSite(tmp_path / "other")


@pytest.fixture
def layout(site: CommandSite) -> Iterator[Layout]:
    """Return the first site's spool."""
    with Layout(site.spool) as made:
        yield made


def archived(site: CommandSite, *runs: Run) -> Path:
    """Put runs into the archive of delivered ones; return its directory."""
    archive = DeliveredArchive(site.state / "delivered", keep_days=3)
    for run in runs:
        archive.add(run, NOON)
    return archive.directory


def stored(site: CommandSite, name: str) -> Run:
    """Return a run in `todo/`."""
    return codec.decode(name, (site.spool / "todo" / name).read_bytes())


def counts(said: Any) -> tuple[int, int, int]:
    """Return done, known and refused."""
    return said.json["done"], said.json["known"], len(said.json["refused"])


def test_delivered_runs_are_told_again(site: CommandSite) -> None:
    """From the archive, with their own times, as if cc-backend had never heard of them."""
    directory = archived(site, TOLD, run_of(6, end=END, started=NOON))
    said = site.call("replay", directory, "--json")

    assert (0, (2, 0, 0)) == (said.code, counts(said))
    again = stored(site, TOLD.name)
    assert (None, END, "lab", NOON) == (
        again.started,
        again.end,
        again.cluster,
        again.job.start_time,
    )


@pytest.mark.parametrize("source", ["state", "state/delivered", "state/delivered/*.jsonl"])
def test_an_archive_is_named_in_any_way(site: CommandSite, source: str) -> None:
    """State directory, archive, or its files."""
    archived(site, TOLD)
    said = site.call("replay", *site.root.glob(source), "--json")

    assert (1, 0, 0) == counts(said)


def test_a_second_replay_finds_all_known(site: CommandSite) -> None:
    """Nothing is there twice."""
    directory = archived(site, TOLD)
    site.call("replay", directory)
    said = site.call("replay", directory, directory, "--json")

    assert (0, (0, 2, 0)) == (said.code, counts(said))
    assert [TOLD.name] == site.names("todo")


def test_another_spool_is_taken_in_whole(site: CommandSite, other: CommandSite) -> None:
    """Its events, its pending and open runs, and its dead letters."""
    other.put_event(EVENT, "user=anna\nend\n", time=NOON + 0.5)
    other.put(Directory.TODO, run_of(5))
    other.put(Directory.OPEN, run_of(6, started=NOON))
    other.put(Directory.DEAD, run_of(8, end=END, attempts=3, last_error=REFUSED))
    (other.spool / "tmp" / "draft").touch()
    before = other.everything()
    said = site.call("replay", other.spool, "--json")

    assert (0, (4, 0, 0)) == (said.code, counts(said))
    assert ([EVENT], 3) == (site.names("new"), len(site.names("todo")))
    event = site.spool / "new" / EVENT
    assert ("user=anna\nend\n", NOON + 0.5) == (event.read_text(), event.stat().st_mtime)
    assert before == other.everything()


def test_dead_letters_of_another_spool_keep_their_reasons_there(
    site: CommandSite, other: CommandSite
) -> None:
    """A reason is no file of its own; a strange file is refused."""
    other.bury("odd")
    other.bury(EVENT, b"end\n")
    said = site.call("replay", other.spool, "--json")

    assert (11, (1, 0, 1)) == (said.code, counts(said))
    assert "not a valid name of an event file" == said.json["refused"][0]["reason"]


@pytest.mark.parametrize(
    ("name", "contents", "reason"),
    [
        ("5-100.json", b"{", "not JSON"),
        (
            "5-100.json",
            b'{"version": 2}',
            "written by a later version of this program (format 2); install it",
        ),
        ("5-100.json", b'{"version": 0}', "unknown version 0"),
        ("odd.json", codec.encode(TOLD), "not a valid name of a run file"),
        (
            "2-start-7-0-0-1",
            b"end\n",
            "written by a later version of this program (format 2); install it",
        ),
        ("odd", b"", "not a valid name of an event file"),
        ("a.jsonl", b"[]\n", "not a JSON object"),
        (
            "a.jsonl",
            b'{"version": 2}\n',
            "written by a later version of this program (format 2); install it",
        ),
    ],
)
def test_strange_files_are_refused_by_name(
    site: CommandSite, name: str, contents: bytes, reason: str
) -> None:
    """And stay as they are; the others go on."""
    source = site.root / "kept"
    source.mkdir()
    (source / name).write_bytes(contents)
    (source / TOLD.name).write_bytes(codec.encode(TOLD))
    said = site.call("replay", source)

    assert (11, "1 imported, 0 already known, 1 refused\n") == (said.code, said.out)
    assert f"{source}/{name}" in said.err
    assert reason in said.err
    assert contents == (source / name).read_bytes()


def test_what_is_added_meanwhile_is_not_replayed(site: CommandSite) -> None:
    """The drain archives what is delivered again, into the file that is being read."""
    directory = archived(site, TOLD, run_of(6, end=END))
    found = []
    for each in read_import_items(directory):
        found.append(each)
        assert isinstance(each.item, Run)
        archived(site, each.item)

    assert 2 == len(found)


def test_an_archive_that_became_shorter_ends_where_it_ends(site: CommandSite) -> None:
    """It expired meanwhile."""
    directory = archived(site, TOLD, TOLD)
    kept_runs = read_import_items(directory)
    first = next(kept_runs)
    (archive,) = directory.iterdir()
    os.truncate(archive, 0)

    assert TOLD == first.item
    assert len(list(kept_runs)) <= 1  # what was read ahead


def test_a_spoilt_line_does_not_spoil_the_archive(site: CommandSite) -> None:
    """It is named by its number; the last one may be cut."""
    directory = archived(site, TOLD, run_of(6, end=END))
    (archive,) = directory.iterdir()
    archive.write_bytes(b"{\n" + archive.read_bytes()[:-20])
    said = site.call("replay", directory, "--json")

    assert (11, (1, 0, 2)) == (said.code, counts(said))
    assert [f"{archive}:1", f"{archive}:3"] == [each["what"] for each in said.json["refused"]]


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("/etc/hostname"),
        os.mkfifo,
        lambda path: path.mkdir(),
    ],
)
def test_what_is_no_file_is_refused(site: CommandSite, make: Any) -> None:
    """And nothing blocks."""
    source = site.root / "kept"
    source.mkdir()
    make(source / EVENT)
    said = site.call("replay", source, "--json")

    assert (11, (0, 0, 1)) == (said.code, counts(said))


def test_a_source_that_is_not_there_is_refused(site: CommandSite) -> None:
    """With what the system says."""
    said = site.call("replay", site.root / "none")

    assert 11 == said.code
    assert "No such file or directory" in said.err


def test_a_directory_that_cannot_be_listed_is_refused(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other sources go on."""

    def refuse(_: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(import_items, "_files", refuse)
    said = site.call("replay", site.root, "--json")

    assert "Permission denied" == said.json["refused"][0]["reason"]


def test_an_oversized_run_is_refused(site: CommandSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it fills the memory."""
    monkeypatch.setattr(codec, "LIMIT_BYTES", 10)
    (site.root / TOLD.name).write_bytes(b"x" * 11)
    said = site.call("replay", site.root / TOLD.name, "--json")

    assert "it has 11 bytes, more than the limit of 10" == said.json["refused"][0]["reason"]


@pytest.mark.parametrize("part", [".", "dead", f"todo/{TOLD.name}"])
def test_the_spool_is_not_fed_into_itself(site: CommandSite, part: str) -> None:
    """`retry` is for that."""
    site.put(Directory.TODO, TOLD)
    said = site.call("replay", site.spool / part)

    assert 11 == said.code
    assert "this is the spool itself; use `cc-spool retry` for its dead letters" in said.err


@pytest.mark.parametrize("directory", ["todo", "open"])
def test_a_run_with_equal_facts_is_known(site: CommandSite, directory: str) -> None:
    """Whatever was delivered of it so far."""
    here = replace(TOLD, attempts=3, last_error=REFUSED, replaces=(1,), seen=NOON + 9)
    before = site.put(Directory(directory), here)
    said = site.call("replay", archived(site, TOLD), "--json")

    assert (0, (0, 1, 0)) == (said.code, counts(said))
    path = site.spool / directory / TOLD.name
    assert before == codec.decode(TOLD.name, path.read_bytes())


@pytest.mark.parametrize(
    ("directory", "contents", "reason"),
    [
        (
            "todo",
            codec.encode(run_of(5)),
            "this spool already has this run in todo/, with other contents",
        ),
        (
            "open",
            codec.encode(run_of(5)),
            "this spool already has this run in open/, with other contents",
        ),
        ("todo", b"{", "this spool already has this run in todo/, where it cannot be read"),
        (
            "dead",
            codec.encode(TOLD),
            "it is a dead letter in this spool: type `cc-spool retry ID` or `cc-spool discard ID`",
        ),
    ],
)
def test_a_run_that_is_here_already_is_not_replaced(
    site: CommandSite, directory: str, contents: bytes, reason: str
) -> None:
    """Its own file counts."""
    (site.spool / directory / TOLD.name).write_bytes(contents)
    said = site.call("replay", archived(site, TOLD), "--json")

    assert (11, (0, 0, 1)) == (said.code, counts(said))
    assert reason == said.json["refused"][0]["reason"]
    assert contents == (site.spool / directory / TOLD.name).read_bytes()


def test_a_run_that_was_told_meanwhile_is_known(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It vanished between two looks."""
    monkeypatch.setattr(importer, "active_directory", lambda *_: Directory.TODO)
    taker = importer_of(layout)
    taker.import_item(ImportItem(where="x", item=TOLD))

    assert (0, 1) == (taker.done, taker.known)


def test_a_run_not_to_be_reported_stays_so(site: CommandSite, other: CommandSite) -> None:
    """Its mark moves with it; of one that is over nothing is left to do."""
    other.put(Directory.OPEN, run_of(5, reported=False, reason="opted out"))
    other.put(Directory.OPEN, run_of(6, reported=False, reason="opted out", end=END))
    said = site.call("replay", other.spool, "--json")

    assert (0, (1, 1, 0)) == (said.code, counts(said))
    assert not stored(site, f"5-{NOON}.json").reported


def of_cluster(run: Run, cluster: str) -> Run:
    """Return a run of a Slurm cluster."""
    return replace(run, job=replace(run.job, cluster=cluster))


def test_runs_of_another_cluster_are_refused(site: CommandSite, other: CommandSite) -> None:
    """Their job ids would hit the wrong rows."""
    site.put(Directory.OPEN, of_cluster(run_of(9, started=NOON), "fritz"))
    other.put(Directory.TODO, of_cluster(run_of(5), "alex"))
    other.put_event(EVENT, "cluster=alex\nend\n")
    other.put(Directory.TODO, of_cluster(run_of(6), "fritz"))
    said = site.call("replay", other.spool, "--json")

    assert (11, (1, 0, 2)) == (said.code, counts(said))
    assert {"it belongs to Slurm's cluster alex, but this spool is for fritz"} == {
        each["reason"] for each in said.json["refused"]
    }


def test_an_empty_spool_takes_runs_of_one_cluster(site: CommandSite) -> None:
    """That of the first."""
    runs = (of_cluster(run_of(number), name) for number, name in ((5, "fritz"), (6, "alex")))

    assert (1, 0, 1) == counts(site.call("replay", archived(site, *runs), "--json"))


def test_a_dry_run_changes_nothing(site: CommandSite, other: CommandSite) -> None:
    """And counts the same."""
    other.put_event(EVENT)
    other.put_event("1-stop-7-0-0-9")
    site.put_event(EVENT)
    other.put(Directory.TODO, run_of(5))
    dry = site.call("replay", other.spool, "--dry-run")
    before = (site.names("new"), site.names("todo"))
    wet = site.call("replay", other.spool)

    assert ([EVENT], []) == before
    assert "2 imported, 1 already known, 0 refused\n" == wet.out
    words = "dry run, nothing was changed: 2 would be imported, 1 already known, 0 would be refused"
    assert f"{words}\n" == dry.out


def test_a_terminal_shows_progress(site: CommandSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line on stderr; the report stays on stdout."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    said = site.call("replay", archived(site, TOLD), terminal=True)

    assert "\rreplay: 1 [" in said.err
    assert "1 imported, 0 already known, 0 refused\n" == said.out


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_progress_where_it_is_unwelcome(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """Dumb terminals and those who said so."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, value)

    assert "\r" not in site.call("replay", archived(site, TOLD), terminal=True).err


def importer_of(layout: Layout, **how: Any) -> Importer:
    """Return what takes kept items in."""
    defaults = {"is_drained": lambda: True, "min_free_bytes": 0}
    return Importer(layout, Throttle(layout, **{**defaults, **how}), now=NOON, dry_run=False)


def kept_event(number: int) -> ImportItem:
    """Return one of many events."""
    return ImportItem(where="x", item=parse_event_name(f"1-start-{number}-0-0-1", time=NOON))


def test_at_most_a_thousand_events_wait(site: CommandSite, layout: Layout) -> None:
    """More come when the drain has made room."""
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


def test_a_crowd_of_others_events_is_waited_for(site: CommandSite, layout: Layout) -> None:
    """The hooks' own come first."""
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
    """Nobody would ever make room; what is done stays done."""
    for number in range(MAX_NEW_EVENTS + 1):
        other.put_event(f"1-start-{number + 1}-0-0-1")
    said = site.call("replay", other.spool, "--json")

    assert 75 == said.code
    assert ((MAX_NEW_EVENTS, 0, 0), False) == (counts(said), said.json["complete"])
    assert "no drain is running: start it, then repeat this command" in said.err


def test_whether_a_drain_runs_is_seen_by_its_lock(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by a file that it may have left."""
    seen: list[bool] = []

    def no_room(*_: object, is_drained: Callable[[], bool], **__: object) -> NoRoom:
        seen.append(is_drained())
        return NoRoom()

    monkeypatch.setattr(replay, "Throttle", no_room)
    lock = take_lock(site.state / "drain.lock", site.state / "drain.json")
    site.call("replay", archived(site, TOLD))
    lock.release()
    site.call("replay", archived(site, TOLD))

    assert [True, False] == seen


class NoRoom:
    """A spool that takes nothing more."""

    @staticmethod
    def has_space_for_run() -> bool:
        """Return False."""
        return False


def test_a_nearly_full_disk_ends_the_replay(site: CommandSite) -> None:
    """Live jobs need the rest."""
    site.document["spool"]["min_free_bytes"] = 2**50
    site.write()
    said = site.call("replay", archived(site, TOLD), "--json")

    assert (75, (0, 0, 0), False) == (said.code, counts(said), said.json["complete"])
    assert "less than spool.min_free_bytes free" in said.err


def test_the_disk_is_looked_at_now_and_then(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for every run."""
    looks: list[int] = []

    def free_bytes() -> int:
        looks.append(1)
        return 1

    monkeypatch.setattr(layout, "free_bytes", free_bytes)
    room = Throttle(layout, is_drained=lambda: True, min_free_bytes=0)

    assert all(room.has_space_for_run() for _ in range(RUNS_PER_SPACE_CHECK + 1))
    assert 2 == len(looks)


def test_the_report_is_one_object(site: CommandSite) -> None:
    """With stable keys."""
    said = site.call("replay", archived(site, TOLD), "--json")

    assert {"done": 1, "known": 0, "refused": [], "complete": True, "dry_run": False} == json.loads(
        said.out
    )

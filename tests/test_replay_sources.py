"""What `cc-spool replay` reads: archives, other spools, and files that it refuses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of
from replay_site import END, EVENT, REPORTED, archived, counts

from spool.files import codec, import_items
from spool.files.import_items import read_import_items
from spool.files.layout import Directory
from spool.files.run import Run


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def other(tmp_path: Path) -> CommandSite:
    """Return another site, whose spool is replayed into the first."""
    return CommandSite(tmp_path / "other")


@pytest.mark.parametrize("source", ["state", "state/delivered", "state/delivered/*.jsonl"])
def test_an_archive_can_be_given_in_any_form(site: CommandSite, source: str) -> None:
    """`replay` takes the state directory, the archive directory or the files of the archive."""
    archived(site, REPORTED)
    said = site.call("replay", *site.root.glob(source), "--json")

    assert (1, 0, 0) == counts(said)


def test_another_spool_is_imported_completely(site: CommandSite, other: CommandSite) -> None:
    """Events, pending and open runs, and dead letters are imported; the source is not changed."""
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


@pytest.mark.parametrize(("age", "is_refused"), [(59.0, True), (61.0, False), (-61.0, False)])
def test_an_event_that_a_hook_may_be_writing_is_refused(
    other: CommandSite, age: float, *, is_refused: bool
) -> None:
    """An event file without its last line is refused while it is younger than a minute."""
    other.put_event(EVENT, "", time=NOON)
    (found,) = read_import_items(other.spool, clock=lambda: NOON + age)

    reason = "its hook may still be writing it: repeat this command in a minute"
    assert (is_refused, reason if is_refused else "") == (found.item is None, found.reason)


def test_reasons_of_dead_letters_of_another_spool_are_not_imported(
    site: CommandSite, other: CommandSite
) -> None:
    """A .why file in dead/ is skipped; an unknown file is refused."""
    other.add_dead_letter("odd")
    other.add_dead_letter(EVENT, b"end\n")
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
            "written by a later version of this program (format 2); install that version",
        ),
        ("5-100.json", b'{"version": 0}', "unknown version 0"),
        ("odd.json", codec.encode(REPORTED), "not a valid name of a run file"),
        (
            "2-start-7-0-0-1",
            b"end\n",
            "written by a later version of this program (format 2); install that version",
        ),
        ("odd", b"", "not a valid name of an event file"),
        ("a.jsonl", b"[]\n", "not a JSON object"),
        (
            "a.jsonl",
            b'{"version": 2}\n',
            "written by a later version of this program (format 2); install that version",
        ),
    ],
)
def test_invalid_files_are_refused_by_name(
    site: CommandSite, name: str, contents: bytes, reason: str
) -> None:
    """A refused file stays unchanged; the other files are imported."""
    source = site.root / "kept"
    source.mkdir()
    (source / name).write_bytes(contents)
    (source / REPORTED.name).write_bytes(codec.encode(REPORTED))
    said = site.call("replay", source)

    assert (11, "1 imported, 0 already known, 1 refused\n") == (said.code, said.out)
    assert f"{source}/{name}" in said.err
    assert reason in said.err
    assert contents == (source / name).read_bytes()


def test_runs_added_during_a_replay_are_not_replayed(site: CommandSite) -> None:
    """The drain archives each run that it delivers again, into the file that is being read."""
    directory = archived(site, REPORTED, run_of(6, end=END))
    found = []
    for each in read_import_items(directory):
        found.append(each)
        assert isinstance(each.item, Run)
        archived(site, each.item)

    assert 2 == len(found)


def test_an_archive_truncated_during_a_replay_is_no_error(site: CommandSite) -> None:
    """The archive expired while it was being read."""
    directory = archived(site, REPORTED, REPORTED)
    kept_runs = read_import_items(directory)
    first = next(kept_runs)
    (archive,) = directory.iterdir()
    os.truncate(archive, 0)

    assert REPORTED == first.item
    assert len(list(kept_runs)) <= 1  # what was read ahead


def test_a_damaged_line_does_not_stop_the_replay(site: CommandSite) -> None:
    """A damaged line is reported by its number; the last line may be cut off."""
    directory = archived(site, REPORTED, run_of(6, end=END))
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
def test_a_source_entry_that_is_no_regular_file_is_refused(site: CommandSite, make: Any) -> None:
    """A symlink, a FIFO or a directory does not block the replay."""
    source = site.root / "kept"
    source.mkdir()
    make(source / EVENT)
    said = site.call("replay", source, "--json")

    assert (11, (0, 0, 1)) == (said.code, counts(said))


def test_a_missing_source_is_refused(site: CommandSite) -> None:
    """The message has the error text of the operating system."""
    said = site.call("replay", site.root / "none")

    assert 11 == said.code
    assert "No such file or directory" in said.err


def test_a_directory_that_cannot_be_listed_is_refused(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal has the error text of the operating system (Permission denied)."""

    def refuse(_: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(import_items, "_files", refuse)
    said = site.call("replay", site.root, "--json")

    assert "Permission denied" == said.json["refused"][0]["reason"]


def test_an_oversized_run_file_is_refused(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run file larger than the limit is refused before it fills the memory."""
    monkeypatch.setattr(codec, "LIMIT_BYTES", 10)
    (site.root / REPORTED.name).write_bytes(b"x" * 11)
    said = site.call("replay", site.root / REPORTED.name, "--json")

    assert "it has 11 bytes, more than the limit of 10" == said.json["refused"][0]["reason"]


@pytest.mark.parametrize("part", [".", "dead", f"todo/{REPORTED.name}"])
def test_the_spool_is_not_replayed_into_itself(site: CommandSite, part: str) -> None:
    """The error names `cc-spool retry`, which delivers the dead letters of this spool again."""
    site.put(Directory.TODO, REPORTED)
    said = site.call("replay", site.spool / part)

    assert 11 == said.code
    assert "this is the spool itself; use `cc-spool retry` for its dead letters" in said.err

"""Retry dead letters: which can be retried, where they go, and which cannot be retried."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of
from dead_letter_changes import discard, retry

from spool.errors import BadFileError, UnusableFileError
from spool.files import codec, dead_letters
from spool.files.codec import load_run
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


def test_a_retried_run_has_no_delivery_history(site: CommandSite, layout: Layout) -> None:
    """Attempts, waiting time and error are removed; the job's times stay."""
    site.put(Directory.DEAD, DEAD)
    retry(layout, DEAD.name)

    assert {"todo": [DEAD.name]} == site.files()
    assert run_of(5, end=END) == load_run(layout, Directory.TODO, DEAD.name)


def test_a_retry_does_not_replace_a_newer_run_in_open(site: CommandSite, layout: Layout) -> None:
    """The dead letter has the same file name as the newer run, and is only removed."""
    site.put(Directory.DEAD, DEAD)
    newer = site.put(Directory.OPEN, run_of(5, started=NOON + 7))
    words = retry(layout, DEAD.name)

    assert "is in open/ already; the dead letter is removed" == words
    assert {"open": [DEAD.name]} == site.files()
    assert newer == load_run(layout, Directory.OPEN, DEAD.name)


def test_a_retry_does_not_replace_a_run_written_meanwhile(
    site: CommandSite, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drain writes the newer run to `todo/` between the command's check and its write."""
    site.put(Directory.DEAD, DEAD)
    newer = site.put(Directory.TODO, run_of(5, started=NOON + 7))
    monkeypatch.setattr(dead_letters, "active_directory", lambda *_: None)
    retry(layout, DEAD.name)

    assert {"todo": [DEAD.name]} == site.files()
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
    """The dead letter stays unchanged; after a retry it would only become one again."""
    site.add_dead_letter(DEAD.name, contents, origin="todo")

    with pytest.raises(UnusableFileError, match=reason):
        retry(layout, DEAD.name)

    assert {"dead": [DEAD.name, f"{DEAD.name}.why"]} == site.files()


def test_a_repaired_run_is_retried(site: CommandSite, layout: Layout) -> None:
    """The run goes to `todo/`, also if it was in `open/`; its `.why` file is removed."""
    site.add_dead_letter(DEAD.name, b"{", origin="open")
    (site.spool / "dead" / DEAD.name).write_bytes(codec.encode(DEAD))
    retry(layout, DEAD.name)

    assert {"todo": [DEAD.name]} == site.files()


@pytest.mark.parametrize("name", [EVENT, "odd\n\x1b[0m name"])
def test_a_retried_file_goes_back_to_its_directory(
    site: CommandSite, layout: Layout, name: str
) -> None:
    """A file from `new/` gets its original name there, even one with control characters."""
    dead_letter = site.add_dead_letter(name, b"contents")

    assert "is put back into new/" == retry(layout, dead_letter)
    assert {"new": [name]} == site.files()
    assert b"contents" == (site.spool / "new" / name).read_bytes()


def test_an_event_without_a_why_file_goes_back_to_new(site: CommandSite, layout: Layout) -> None:
    """The name of the dead letter shows that it is an event."""
    (site.spool / "dead" / EVENT).write_text("end\n")
    retry(layout, EVENT)

    assert {"new": [EVENT]} == site.files()


def test_a_file_of_unknown_origin_is_not_retried(site: CommandSite, layout: Layout) -> None:
    """The `.why` file is missing, so the directory that the file came from is unknown."""
    (site.spool / "dead" / "odd").touch()

    with pytest.raises(BadFileError, match="the directory that it came from is not known"):
        retry(layout, "odd")


@pytest.mark.parametrize("origin", ["../state/drain.json", "other"])
def test_a_why_file_about_another_file_is_refused(
    site: CommandSite, layout: Layout, origin: str
) -> None:
    """The `.why` file has another path or name than the dead letter; the retry raises an error."""
    site.add_dead_letter("odd")
    why = site.spool / "dead" / "odd.why"
    why.write_text(json.dumps(json.loads(why.read_text()) | {"name": origin}))

    with pytest.raises(BadFileError, match="is about another file"):
        retry(layout, "odd")


def test_a_retried_event_does_not_replace_another_file(site: CommandSite, layout: Layout) -> None:
    """Another program has put a file of the same name into `new/`; the retry raises an error."""
    site.add_dead_letter(EVENT)
    site.put_event(EVENT)

    with pytest.raises(BadFileError, match="has a file of this name"):
        retry(layout, EVENT)


def test_a_missing_dead_letter_raises_file_not_found(site: CommandSite, layout: Layout) -> None:
    """A `.why` file alone is no dead letter."""
    site.add_dead_letter(EVENT)
    (site.spool / "dead" / EVENT).unlink()

    with pytest.raises(FileNotFoundError):
        retry(layout, EVENT)


@pytest.mark.parametrize("deed", [retry, discard])
@pytest.mark.parametrize("run", [DEAD, LIVE])
def test_a_dry_run_changes_no_file(
    site: CommandSite, layout: Layout, deed: object, run: Run
) -> None:
    """`retry` and `discard` with `dry_run` only return what would be done."""
    site.put(Directory.DEAD, run)
    site.add_dead_letter(EVENT)
    before = site.files()
    assert callable(deed)
    dry = [deed(layout, name, dry_run=True) for name in (run.name, EVENT)]

    assert before == site.files()
    assert ["would be ", "would be "] == [words[:9] for words in dry]

"""Which runs `cc-spool replay` delivers again, knows already, or refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from command_site import NOON, REFUSED, CommandSite, run_of
from replay_site import END, EVENT, REPORTED, archived, counts, importer_of

from spool.commands import importer
from spool.files import codec
from spool.files.import_items import ImportItem
from spool.files.layout import Directory, Layout
from spool.files.run import Run


def stored(site: CommandSite, name: str) -> Run:
    """Return a run in `todo/`."""
    return codec.decode(name, (site.spool / "todo" / name).read_bytes())


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def other(tmp_path: Path) -> CommandSite:
    """Return another site, whose spool is replayed into the first."""
    return CommandSite(tmp_path / "other")


@pytest.fixture
def layout(site: CommandSite) -> Iterator[Layout]:
    """Return the first site's spool."""
    with Layout(site.spool) as made:
        yield made


def test_archived_runs_are_delivered_again(site: CommandSite) -> None:
    """Archived runs keep their times, and become pending as if they were never delivered."""
    directory = archived(site, REPORTED, run_of(6, end=END, started=NOON))
    said = site.call("replay", directory, "--json")

    assert (0, (2, 0, 0)) == (said.code, counts(said))
    again = stored(site, REPORTED.name)
    assert (None, END, "lab", NOON) == (
        again.started,
        again.end,
        again.cluster,
        again.job.start_time,
    )


def test_a_second_replay_imports_no_run(site: CommandSite) -> None:
    """The second `replay` of an archive counts each of its runs as known."""
    directory = archived(site, REPORTED)
    site.call("replay", directory)
    said = site.call("replay", directory, directory, "--json")

    assert (0, (0, 2, 0)) == (said.code, counts(said))
    assert [REPORTED.name] == site.names("todo")


@pytest.mark.parametrize("directory", ["todo", "open"])
def test_a_run_with_the_same_job_data_is_known(site: CommandSite, directory: str) -> None:
    """Attempts, last error and other progress of a delivery are not compared."""
    here = replace(REPORTED, attempts=3, last_error=REFUSED, replaces=(1,), seen=NOON + 9)
    before = site.put(Directory(directory), here)
    said = site.call("replay", archived(site, REPORTED), "--json")

    assert (0, (0, 1, 0)) == (said.code, counts(said))
    path = site.spool / directory / REPORTED.name
    assert before == codec.decode(REPORTED.name, path.read_bytes())


@pytest.mark.parametrize(
    ("directory", "contents", "reason"),
    [
        (
            "todo",
            codec.encode(run_of(5)),
            "this spool already has this run in todo/ with other contents, which are kept",
        ),
        (
            "open",
            codec.encode(run_of(5)),
            "this spool already has this run in open/ with other contents, which are kept",
        ),
        ("todo", b"{", "this spool already has this run in todo/, where it cannot be read"),
        (
            "dead",
            codec.encode(REPORTED),
            "it is a dead letter in this spool: type `cc-spool retry ID` or `cc-spool discard ID`",
        ),
    ],
)
def test_a_run_that_is_in_this_spool_is_not_replaced(
    site: CommandSite, directory: str, contents: bytes, reason: str
) -> None:
    """`replay` refuses a run whose file here differs, is damaged or is a dead letter."""
    (site.spool / directory / REPORTED.name).write_bytes(contents)
    said = site.call("replay", archived(site, REPORTED), "--json")

    assert (11, (0, 0, 1)) == (said.code, counts(said))
    assert reason == said.json["refused"][0]["reason"]
    assert contents == (site.spool / directory / REPORTED.name).read_bytes()


def test_a_run_that_is_delivered_during_its_import_is_known(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file in todo/ vanished between two checks of the import."""
    monkeypatch.setattr(importer, "active_directory", lambda *_: Directory.TODO)
    taker = importer_of(layout)
    taker.import_item(ImportItem(where="x", item=REPORTED))

    assert (0, 1) == (taker.done, taker.known)


def test_an_excluded_run_stays_excluded(site: CommandSite, other: CommandSite) -> None:
    """The exclusion is imported with the run; an excluded run that has ended counts as known."""
    other.put(Directory.OPEN, run_of(5, reported=False, reason="opted out"))
    other.put(Directory.OPEN, run_of(6, reported=False, reason="opted out", end=END))
    said = site.call("replay", other.spool, "--json")

    assert (0, (1, 1, 0)) == (said.code, counts(said))
    assert not stored(site, f"5-{NOON}.json").reported


def of_cluster(run: Run, cluster: str) -> Run:
    """Return a run of a Slurm cluster."""
    return replace(run, job=replace(run.job, cluster=cluster))


def test_runs_of_another_cluster_are_refused(site: CommandSite, other: CommandSite) -> None:
    """The job ids of another Slurm cluster would match the wrong rows."""
    site.put(Directory.OPEN, of_cluster(run_of(9, started=NOON), "fritz"))
    other.put(Directory.TODO, of_cluster(run_of(5), "alex"))
    other.put_event(EVENT, "cluster=alex\nend\n")
    other.put(Directory.TODO, of_cluster(run_of(6), "fritz"))
    said = site.call("replay", other.spool, "--json")

    assert (11, (1, 0, 2)) == (said.code, counts(said))
    assert {"it belongs to the Slurm cluster alex, but this spool is for fritz"} == {
        each["reason"] for each in said.json["refused"]
    }


def test_an_empty_spool_takes_runs_of_one_cluster(site: CommandSite) -> None:
    """The first imported run decides which Slurm cluster that is; runs of others are refused."""
    runs = (of_cluster(run_of(number), name) for number, name in ((5, "fritz"), (6, "alex")))

    assert (1, 0, 1) == counts(site.call("replay", archived(site, *runs), "--json"))


def test_a_dry_run_of_replay_changes_no_file(site: CommandSite, other: CommandSite) -> None:
    """`replay --dry-run` prints the same counts as the replay that follows."""
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

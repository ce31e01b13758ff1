"""This version reads the spool, state and configuration of version 0.1.

`data/upgrade-0.1.tar.xz` was written by the code of version 0.1 (commit 95ef7e4); `generate.py` in
it shows how, `expected.json` has what that version itself read in it.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from faulty_slurm import ListedRun
from sweep_site import SweepSite
from unpack import unpack

from spool.config import load
from spool.files import codec
from spool.files.archive import archive_lines
from spool.files.dead_letter_reason import read_why
from spool.files.drain_state import (
    DrainState,
    HealthReport,
    HealthState,
    WaitingCause,
    read_drain_state,
)
from spool.files.event import parse_event_name, parse_extras
from spool.files.file_times import WHY_SUFFIX
from spool.files.layout import Layout
from spool.files.run_id import RunId
from spool.files.state_files import CrashMarker
from spool.files.sweep_state import (
    HeldBackStops,
    SweepMemory,
    SweepState,
    read_sweep_state,
    read_sweep_summary,
)

ARCHIVE = Path(__file__).parent / "data" / "upgrade-0.1.tar.xz"
NOON = 1_767_225_600
STRANGE = "strange-ef5bac77998702c832b2"
SUSPECT = "1-start-16-0-0-99"
DELIVERED_BY_DRAIN = {
    11: "running",
    12: "timeout",
    13: "completed",
    16: "failed",
    17: "failed",
    18: "completed",
    **dict.fromkeys(range(20, 25), "completed"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the files of version 0.1; tests do not change it."""
    directory = tmp_path_factory.mktemp("version-0.1")
    unpack(ARCHIVE, directory)
    return directory


@pytest.fixture
def site(tmp_path: Path, written: Path) -> Iterator[SweepSite]:
    """Return a site that continues with a copy of them."""
    with SweepSite(tmp_path / "site", mark=False) as made:
        for name in ("spool", "state"):
            shutil.copytree(written / name, made.root / name, dirs_exist_ok=True)
        yield made


def plain(value: Any) -> Any:
    """Return a value as JSON data: patterns and paths as texts, sets in order."""
    if dataclasses.is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, re.Pattern):
        return value.pattern
    return str(value) if isinstance(value, Path) else value


def known_then(found: Any, expected: Any) -> Any:
    """Return the part of some data that the expected data has: fields may be new, none missing."""
    if isinstance(expected, dict):
        return {key: known_then(found[key], item) for key, item in expected.items()}
    if isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        return [known_then(*pair) for pair in zip(found, expected, strict=True)]
    return found


def read_spool(root: Path) -> dict[str, Any]:
    """Return all that this version reads in a spool, by the path of the file."""
    found: dict[str, Any] = {
        f"{path.parent.name}/{path.name}": codec.decode(path.name, path.read_bytes())
        for path in root.rglob("*.json")
    }
    for path in (root / "new").iterdir():
        extras = parse_extras(path.read_bytes())
        event = parse_event_name(path.name, time=path.stat().st_mtime, extras=extras)
        found[f"new/{path.name}"] = event
    with Layout(root) as layout:
        for path in (root / "dead").glob(f"*{WHY_SUFFIX}"):
            why = read_why(layout, path.name.removesuffix(WHY_SUFFIX))
            found[f"dead/{path.name}"] = why
    return found


def test_every_run_event_and_dead_letter_is_read(written: Path) -> None:
    """Each field has the value that version 0.1 wrote, and no file is omitted."""
    expected = json.loads((written / "expected.json").read_text())
    expected = {name: item for name, item in expected.items() if "/" in name}
    found = {name: plain(item) for name, item in read_spool(written / "spool").items()}

    assert expected.keys() == found.keys()
    assert expected == known_then(found, expected)


def test_the_archive_of_delivered_runs_is_read(written: Path) -> None:
    """The runs are in the order of version 0.1, with all fields."""
    expected = json.loads((written / "expected.json").read_text())["delivered"]
    lines = archive_lines(written / "state" / "delivered")
    found = [plain(codec.decode_line("a line", line)) for line in lines]

    assert expected == known_then(found, expected)


def test_the_configuration_is_read(written: Path, tmp_path: Path) -> None:
    """Each key has the value that version 0.1 read; the warnings may differ."""
    expected = json.loads((written / "expected.json").read_text())["config"]
    del expected["warnings"], expected["path"]
    path = tmp_path / "config.json"
    path.write_text((written / "config.json").read_text().replace("@ROOT@", "/ROOT"))

    assert expected == known_then(plain(load(path)), expected)


def test_the_state_file_of_the_drain_is_read(written: Path) -> None:
    """Values that version 0.1 did not write to drain.json are unknown."""
    found = read_drain_state(written / "state" / "drain.json")

    assert found is not None
    assert found == DrainState(
        pid=found.pid,
        started=NOON,
        updated=NOON + 20,
        once=True,
        health=HealthReport(
            state=HealthState.DOWN,
            since=NOON + 10.5,
            reason="cannot connect",
            next_try=NOON + 40.25,
        ),
        server_version="1.4.4",
        server_dialect="exclusive",
        slurm_silent_since=NOON + 7,
        disk_full=True,
        inquiries=6,
        waiting=(WaitingCause(cause="hosts that are unknown to cc-backend", count=2),),
    )


def test_the_state_file_of_the_sweep_is_read(written: Path) -> None:
    """sweep.json has the time of the last sweep, the held stops, and the runs of earlier sweeps."""
    expected = SweepState(
        mark=NOON - 600,
        cluster="slurmlab",
        running_baseline=120,
        held_stops=HeldBackStops(
            time=NOON - 60,
            guards=("share", "age"),
            stops=frozenset({RunId(31, NOON), RunId(32, NOON)}),
        ),
        memory=SweepMemory(
            sweep=7,
            young_stops=frozenset({RunId(33, NOON)}),
            unproven_since={RunId(34, NOON): NOON - 5},
            stops_queued={RunId(35, NOON): 6},
            starts_queued={RunId(36, NOON): NOON - 7},
        ),
    )

    assert expected == read_sweep_state(written / "state")


def test_the_summary_of_the_sweep_is_read(written: Path) -> None:
    """The summary in sweep.json has the times, the differences and the refusal."""
    found = read_sweep_summary(written / "state")

    assert found is not None
    assert (NOON - 600.0, NOON - 590.5, 77) == (found.started, found.finished, found.pid)
    assert (True, ("share", "age")) == (found.refused, found.guards)
    assert {"start": 1, "stop": 2, "close": 3, "report": 4} == found.drift
    assert (2, ("share", "age")) == (found.held_stops, found.held_guards)


def test_the_crash_count_of_a_file_is_continued(site: SweepSite) -> None:
    """Version 0.1 crashed twice while reading an event; a third crash is the last attempt."""
    path = site.state / "handling"
    markers = [CrashMarker(path)]
    before = markers[0].is_poison(SUSPECT)
    markers[0](SUSPECT)  # a crash: the block is never left
    markers.append(CrashMarker(path))
    after = markers[1].is_poison(SUSPECT)
    for marker in markers:
        marker.close()

    assert (False, True) == (before, after)


def test_a_backfill_that_0_1_began_is_resumed(site: SweepSite) -> None:
    """A call with the same window continues where version 0.1 stopped."""
    site.truth.cluster = "slurmlab"  # that of the written state
    site.say()
    window = ("--since", NOON - 864000, "--until", NOON, "--monitoring-status", 0)
    said = site.sweep("backfill", *window)

    assert 0 == said.code
    assert "where the last backfill ended" in said.err
    state = json.loads((site.state / "backfill.json").read_bytes())
    assert NOON == state["at"]


def test_cc_spool_list_has_all_files_of_0_1(site: SweepSite, written: Path) -> None:
    """Every run, event and dead letter is listed once."""
    files = {path for path in (written / "spool").rglob("*") if path.is_file()}
    expected = {path.name for path in files if path.suffix != WHY_SUFFIX}
    listed = [entry["id"] for entry in site.call("list", "--json").json]

    assert sorted(expected) == sorted(listed)


@pytest.mark.parametrize("job", [8, 11, 13, 14, 15, 16])
def test_cc_spool_show_finds_each_job_of_0_1(site: SweepSite, job: int) -> None:
    """Jobs in todo, open, dead and new are shown; one that is only in the archive is not."""
    code = site.call("show", job).code

    assert (job == 8) == (code != 0)


def test_a_dead_letter_is_shown_with_its_reason(site: SweepSite) -> None:
    """Version 0.1 left a file that is no event, and a run that cc-backend rejected."""
    assert "the name is not that of an event" in site.call("show", STRANGE).out
    assert "no such subcluster" in site.call("show", 15).out


def test_the_status_counts_the_files(site: SweepSite) -> None:
    """`status` also has cc-backend's state and the sweep's differences from version 0.1."""
    found = site.call("status", "--json").json

    assert {"new": 4, "todo": 7, "open": 2, "dead": 2, "tmp": 0} == found["counts"]
    assert {"since": NOON + 10.5, "reason": "cannot connect"} == found["down"]
    assert {"version": "1.4.4", "dialect": "exclusive"} == found["server"]
    assert {"start": 1, "stop": 2, "close": 3, "report": 4} == found["sweep"]["drift"]


def test_the_check_reports_the_old_state(site: SweepSite) -> None:
    """`check` reports pending files and old states of 0.1, and calls no state file damaged."""
    said = site.call("check")

    for words in (
        "events: 4 pending",
        "cc-backend: has been down for",
        "runs: 7 pending",
        "dead letters: 2 dead letters",
        "hosts that are unknown to cc-backend: 2 runs",
        "sweep: the last sweep ended",
    ):
        assert words in said.out
    assert "" == said.err


def test_a_drain_delivers_the_old_runs(site: SweepSite) -> None:
    """Runs and events of 0.1 reach cc-backend; files that remain are in the right directories."""
    site.run(
        ListedRun(13, NOON, "COMPLETED", NOON + 50, in_squeue=False),
        ListedRun(16, NOON + 1, "FAILED", NOON + 50, in_squeue=False),
        ListedRun(18, NOON, "COMPLETED", NOON + 70, in_squeue=False),
    )
    for job in (12, 13, 17):
        site.row(job, NOON)
    said = site.call("drain", "--once")

    assert DELIVERED_BY_DRAIN == {job: state for (job, _), state in site.server.rows().items()}
    assert [] == site.names("todo") + site.names("new")
    assert [f"{job}-{NOON}.json" for job in (11, 14)] == site.names("open")
    assert [f"15-{NOON}.json", STRANGE, f"{STRANGE}{WHY_SUFFIX}"] == site.names("dead")
    assert 0 == said.code

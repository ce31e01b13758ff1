"""An upgrade of Slurm under a running client is noticed."""

from __future__ import annotations

from pathlib import Path

from recorded_commands import CONFIG, NO_JSON, commands, described, expected, ids_of
from recorded_slurm import RELEASES

from slurm.client import Slurm
from slurm.commands import CommandPaths
from slurm.process import CommandResult
from slurm.release import Release


def test_an_upgrade_is_detected_by_the_file_of_squeue(tmp_path: Path) -> None:
    """The version is queried once for each file that is at squeue's path."""
    path = tmp_path / "squeue"
    path.write_text("old")
    recorded = commands("22.05")
    paths = CommandPaths(squeue=path, sacct=path, scontrol=path)
    recorded.answers["--version"] = CommandResult((), 0, b"slurm-wlm 22.05.8\n", b"")
    slurm = Slurm(paths, recorded, cluster="lab")
    assert Release(22, 5, 8) == slurm.version() == slurm.version()
    assert 1 == len(recorded.asked)

    path.unlink()
    (tmp_path / "new").write_text("new")
    (tmp_path / "new").rename(path)
    recorded.answers["--version"] = CommandResult((), 0, b"slurm 24.11.7\n", b"")
    assert Release(24, 11, 7) == slurm.version()


def test_an_upgrade_is_detected_after_a_failed_command() -> None:
    """After a failure the version is queried again, and the new release's commands are used."""
    recorded = commands("24.11")
    recorded.release = Release(22, 5, 8)
    slurm = recorded.slurm(cluster="lab")
    assert Release(22, 5, 8) == slurm.version()
    recorded.release = None
    recorded.answers["-O"] = CommandResult((), 1, b"", b"squeue: error: Invalid job format\n")
    found = slurm.jobs(ids_of(recorded))

    assert expected(recorded) == [described(job) for _, job in sorted(found.items())]
    assert RELEASES["24.11"] == slurm.version()


def test_an_upgrade_behind_a_wrapper_is_detected_in_10_min() -> None:
    """The version is queried every 10 min, because a wrapper's file does not change."""
    recorded = commands("26.05")
    recorded.release = Release(22, 5, 8)
    slurm = recorded.slurm(cluster="lab")
    seen = [slurm.version()]
    recorded.release = None
    seen.append(slurm.version())
    recorded.time += 601
    seen.append(slurm.version())

    assert [Release(22, 5, 8), Release(22, 5, 8), RELEASES["26.05"]] == seen


def test_an_upgrade_is_detected_by_the_release_in_json() -> None:
    """JSON of a newer release is requested again, with the version that has node sharing."""
    recorded = commands("26.05")
    recorded.release = Release(23, 2, 8)
    slurm = recorded.slurm(cluster="lab")
    slurm.version()
    recorded.release = None
    found = slurm.jobs(ids_of(recorded))

    asked = [line for line in recorded.asked if "--json" in line]
    assert expected(recorded) == [described(job) for _, job in sorted(found.items())]
    assert RELEASES["26.05"] == slurm.version()
    assert [False, True] == ["--json=v0.0.44" in line for line in (asked[0], asked[-1])]


def test_json_of_another_release_than_the_version_is_accepted() -> None:
    """A wrapper may answer `squeue --version` itself, here with 25.05 instead of 24.11."""
    recorded = commands("24.11")
    recorded.release = Release(25, 5, 1)
    found = recorded.slurm(cluster="lab").jobs(ids_of(recorded))

    assert expected(recorded) == [described(job) for _, job in sorted(found.items())]


def test_a_failed_json_query_is_repeated_with_the_new_release() -> None:
    """A newer squeue refuses the old JSON; the client asks for the new JSON, not for text."""
    recorded = commands("26.05")
    recorded.release = Release(23, 11, 11)
    slurm = recorded.slurm(cluster="lab")
    slurm.version()
    recorded.release = None
    recorded.answers["--json=v0.0.40"] = NO_JSON
    found = slurm.jobs(ids_of(recorded))

    asked = [line.partition(" -j ")[0] for line in recorded.asked if "squeue --local" in line]
    assert expected(recorded) == [described(job) for _, job in sorted(found.items())]
    assert ["v0.0.40", "v0.0.44"] == [line.rpartition("=")[2] for line in asked]


def test_accounting_that_an_upgrade_brings_is_used() -> None:
    """After an upgrade the client asks again whether there is accounting."""
    recorded = commands("24.11")
    recorded.release = Release(24, 5, 8)
    recorded.answers["show config"] = CommandResult(
        (), 0, CONFIG.replace(b"storage/slurmdbd", b"storage/none"), b""
    )
    slurm = recorded.slurm()
    slurm.version()
    before = slurm.accounting([7], since=0, until=1)
    recorded.answers.clear()
    recorded.release = None
    recorded.time += 601
    slurm.version()
    slurm.accounting([7], since=0, until=1)

    assert () == before
    assert any(line.startswith("sacct ") for line in recorded.asked)

"""The client's questions beside single look-ups: listing, accounting, configuration, version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from golden_slurm import controller_sights
from recorded_commands import (
    CONFIG,
    DOWN,
    NO_JSON,
    RecordedCommands,
    commands,
    described,
    expected,
    ids_of,
)
from recorded_slurm import RELEASES, SERIES, sacct_text_runs
from release_table import markdown

from slurm.client import Slurm
from slurm.commands import CommandPaths
from slurm.errors import FailureReason, SlurmError
from slurm.job import Job, Sharing
from slurm.process import CommandResult
from slurm.release import RELEASE_TABLE, QueryMethod, Release, features_of

TEXT = ("21.08", "22.05")
OLD_JSON = ("23.02", "23.11")


@pytest.mark.parametrize("series", SERIES)
def test_unknown_job_is_an_answer(series: str) -> None:
    """An id that the controller does not know is absent, and no error."""
    recorded = commands(series)

    assert {} == recorded.slurm().jobs([])
    assert {} == recorded.slurm().jobs([7])
    assert {} == recorded.slurm().jobs([7, 8])


@pytest.mark.parametrize("series", SERIES)
def test_silent_controller_is_unknown(series: str) -> None:
    """A controller that cannot be reached says nothing about any job."""
    recorded = commands(series)
    slurm = recorded.slurm()
    slurm.config()
    recorded.answers |= {"squeue --local": DOWN, "scontrol show job": DOWN}
    with pytest.raises(SlurmError) as caught:
        slurm.jobs([7])

    assert FailureReason.UNREACHABLE is caught.value.reason


def test_answer_of_another_cluster_is_refused() -> None:
    """Jobs of a cluster of another name are no answer."""
    recorded = commands("24.11")
    with pytest.raises(SlurmError) as caught:
        recorded.slurm(cluster="other").jobs(ids_of(recorded))

    assert FailureReason.WRONG_CLUSTER is caught.value.reason


def test_upgrade_is_noticed_by_the_file_of_squeue(tmp_path: Path) -> None:
    """Another squeue under the same path is asked for its version, once."""
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


def test_upgrade_is_noticed_by_an_answer_that_fails() -> None:
    """Upon a failure the version is asked for again, and the new one's sources are taken."""
    recorded = commands("24.11")
    recorded.release = Release(22, 5, 8)
    slurm = recorded.slurm(cluster="lab")
    assert Release(22, 5, 8) == slurm.version()
    recorded.release = None
    recorded.answers["-O"] = CommandResult((), 1, b"", b"squeue: error: Invalid job format\n")
    found = slurm.jobs(ids_of(recorded))

    assert expected(recorded) == [described(job) for _, job in sorted(found.items())]
    assert RELEASES["24.11"] == slurm.version()


def test_upgrade_behind_a_wrapper_is_noticed_in_time() -> None:
    """The file of squeue and its answers may look as before: the version is asked every 10 min."""
    recorded = commands("26.05")
    recorded.release = Release(22, 5, 8)
    slurm = recorded.slurm(cluster="lab")
    seen = [slurm.version()]
    recorded.release = None
    seen.append(slurm.version())
    recorded.time += 601
    seen.append(slurm.version())

    assert [Release(22, 5, 8), Release(22, 5, 8), RELEASES["26.05"]] == seen


def test_upgrade_is_noticed_by_the_release_that_json_names() -> None:
    """A wrapper's file stays as it is, and a newer squeue's default JSON lacks node sharing."""
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


def test_json_is_believed_where_the_version_goes_on_to_differ() -> None:
    """A wrapper may answer `--version` on its own."""
    recorded = commands("24.11")
    recorded.release = Release(25, 5, 1)
    found = recorded.slurm(cluster="lab").jobs(ids_of(recorded))

    assert expected(recorded) == [described(job) for _, job in sorted(found.items())]


def test_an_answer_that_cannot_be_read_is_asked_for_in_the_form_of_the_release() -> None:
    """JSON refused by a newer squeue: not by its text as the older one had it."""
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
    """Whether there is accounting is asked again of another release."""
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


def test_answer_without_a_version_is_an_error() -> None:
    """What is no version is not taken for one."""
    recorded = commands("22.05")
    recorded.answers["--version"] = CommandResult((), 0, b"slurm of mine\n", b"")
    with pytest.raises(SlurmError) as caught:
        recorded.slurm().version()
    assert FailureReason.MALFORMED is caught.value.reason
    assert "22.05.8" == str(Release(22, 5, 8))


@pytest.mark.parametrize("series", SERIES)
def test_listing_has_every_job(series: str) -> None:
    """The light listing names ids, states and start times of all jobs."""
    recorded = commands(series, "many-states")
    listed = {job.job_id: job for job in recorded.slurm().listing()}

    assert ids_of(recorded) == sorted(listed)
    assert len(listed) == len(recorded.slurm().queue_snapshot())
    for job_id, sight in controller_sights(recorded.situation, "").items():
        job = sight.job()
        assert job.start_time == listed[job_id].start_time
        assert job.submit_time == listed[job_id].submit_time
        assert (job.state in {"RUNNING", "SUSPENDED"}) == listed[job_id].is_live


@pytest.mark.parametrize("series", SERIES)
def test_accounting_gives_every_run(series: str) -> None:
    """Both runs of a requeued job are there, by ids and by window."""
    recorded = commands(series, "preempted-requeued", "ended")
    file = recorded.situation.file("sacct-duplicates", "ended", "txt")
    runs = sacct_text_runs(file or recorded.situation.files["sacct-ended.txt"])
    truth = tuple(replace(run, sharing=whole_nodes(run)) for run in runs)
    slurm = recorded.slurm()

    assert truth == slurm.accounting([3, 1, 2], since=1700000005, until=1700000009)
    assert "-M lab -S uts1700000005 -E uts1700000009" in last_of(recorded, "sacct")
    assert truth == slurm.ended(since=0, until=1700000009)
    assert "-S uts1000000 " in last_of(recorded, "sacct")  # 24.11 refuses uts0
    slurm.version()
    slurm.ended(since=0, until=1700000009)
    assert (series == "26.05") == (",NodeList,Exclusive -a" in recorded.last)


def whole_nodes(run: Job) -> Sharing | None:
    """Return the sharing of a run by the recorded cluster's size: 16 CPUs a node."""
    if not run.nodes or not run.cpus:
        return None
    return Sharing.NODE if run.cpus >= 16 * len(run.nodes) else Sharing.SHARED


def last_of(recorded: RecordedCommands, command: str) -> str:
    """Return the last command line of one command."""
    return [line for line in recorded.asked if line.startswith(command)][-1]


def test_accounting_that_does_not_exist_has_answered_nothing() -> None:
    """A cluster without accounting knows no earlier runs, and sacct is not run."""
    recorded = commands("22.05")
    recorded.answers["show config"] = CommandResult(
        (), 0, CONFIG.replace(b"accounting_storage/slurmdbd", b"accounting_storage/none"), b""
    )
    slurm = recorded.slurm(cluster="lab")

    assert () == slurm.accounting([1], since=1, until=2)
    assert not [line for line in recorded.asked if line.startswith("sacct")]
    recorded.answers["show config"] = CommandResult(
        (), 0, CONFIG.replace(b"AccountingS", b"S"), b""
    )
    assert () == recorded.slurm().ended(since=1, until=2)


def test_configuration_and_controllers_are_read() -> None:
    """slurm.conf and the state of each controller come as plain values."""
    slurm = commands("24.11").slurm()

    assert ("lab",) == slurm.config()["ClusterName"]
    assert "lab" == slurm.cluster
    assert (("primary", "ctl01", True), ("backup", "ctl02", False)) == slurm.ping()


def test_description_is_the_text_just_read() -> None:
    """Where the look-up has read the text of the job, it is not asked for again."""
    recorded = commands("22.05")
    job_id = ids_of(recorded)[0]
    slurm = recorded.slurm()
    slurm.jobs([job_id])
    recorded.asked.clear()
    text = slurm.description(job_id)

    assert text is not None
    assert text.startswith(f"JobId={job_id} JobName=filler\n")
    assert [] == recorded.asked


def test_description_is_asked_for_otherwise() -> None:
    """A job that was read by JSON is described by scontrol; an unknown one is not."""
    recorded = commands("24.11")
    job_id = ids_of(recorded)[0]
    slurm = recorded.slurm()

    text = slurm.description(job_id)
    assert text is not None
    assert text.startswith(f"JobId={job_id} ")
    assert slurm.description(7) is None


def test_table_has_a_row_for_every_release() -> None:
    """Releases in between take the row before them, unknown ones the nearest."""
    assert [
        QueryMethod.TEXT,
        QueryMethod.TEXT,
        QueryMethod.JSON_EACH,
        QueryMethod.JSON_EACH,
        QueryMethod.JSON_IDS,
        QueryMethod.JSON_IDS,
    ] == [features_of(RELEASES[series]).few_jobs for series in SERIES[:6]]
    assert QueryMethod.JSON_EACH is features_of(Release(24, 5, 0)).few_jobs
    assert RELEASE_TABLE[-1] == features_of(Release(30, 11))
    assert RELEASE_TABLE[0] == features_of(Release(20, 11))
    assert "--json=v0.0.44" == features_of(Release(26, 5, 5)).json_option


def test_way_is_told_with_its_form_of_json() -> None:
    """What check says of a source names the commands or the pinned JSON."""
    row = features_of(Release(26, 5))

    assert "JSON with `-j IDS`, `--json=v0.0.44`" == row.describe(row.few_jobs)
    assert "scontrol show job ID -d" in row.describe(QueryMethod.TEXT)


def test_table_is_shown_as_markdown() -> None:
    """Every row and every source common to all is in what the page shows."""
    lines = markdown().splitlines()

    assert len(RELEASE_TABLE) + 2 == len([line for line in lines if line.startswith("|")])
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert 6 == len([line for line in lines if line.startswith("- ")])


def test_the_page_shows_the_table() -> None:
    """What docs/compatibility.md says of the sources is what the code has."""
    page = Path(__file__).parent.parent / "docs" / "compatibility.md"

    assert markdown() in page.read_text()

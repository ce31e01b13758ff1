"""Slurm queries other than single look-ups: listing, accounting, configuration, descriptions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from golden_slurm import controller_sights
from recorded_commands import CONFIG, DOWN, RecordedCommands, commands, ids_of
from recorded_slurm import SERIES, sacct_text_runs

from slurm.errors import FailureReason, SlurmError
from slurm.job import Job, Sharing
from slurm.process import CommandResult
from slurm.release import Release


@pytest.mark.parametrize("series", SERIES)
def test_unknown_job_is_no_error(series: str) -> None:
    """An id that the controller does not know is not in the result."""
    recorded = commands(series)

    assert {} == recorded.slurm().jobs([])
    assert {} == recorded.slurm().jobs([7])
    assert {} == recorded.slurm().jobs([7, 8])


@pytest.mark.parametrize("series", SERIES)
def test_no_answer_of_the_controller_is_an_error(series: str) -> None:
    """Without an answer nothing is known about any job."""
    recorded = commands(series)
    slurm = recorded.slurm()
    slurm.config()
    recorded.answers |= {"squeue --local": DOWN, "scontrol show job": DOWN}
    with pytest.raises(SlurmError) as caught:
        slurm.jobs([7])

    assert FailureReason.UNREACHABLE is caught.value.reason


def test_answer_of_another_cluster_is_refused() -> None:
    """Jobs of a cluster with another name are no answer."""
    recorded = commands("24.11")
    with pytest.raises(SlurmError) as caught:
        recorded.slurm(cluster="other").jobs(ids_of(recorded))

    assert FailureReason.WRONG_CLUSTER is caught.value.reason


def test_answer_without_a_version_is_an_error() -> None:
    """A Slurm command prints other text instead of its release."""
    recorded = commands("22.05")
    recorded.answers["--version"] = CommandResult((), 0, b"slurm of mine\n", b"")
    with pytest.raises(SlurmError) as caught:
        recorded.slurm().version()
    assert FailureReason.MALFORMED is caught.value.reason
    assert "22.05.8" == str(Release(22, 5, 8))


@pytest.mark.parametrize("series", SERIES)
def test_the_job_list_has_every_job(series: str) -> None:
    """The job list of squeue has ids, states and start times of all jobs."""
    recorded = commands(series, "many-states")
    listed = {job.job_id: job for job in recorded.slurm().listing()}

    assert ids_of(recorded) == sorted(listed)
    assert all(map(recorded.slurm().queue_snapshot().job, listed))
    for job_id, sight in controller_sights(recorded.situation, "").items():
        job = sight.job()
        assert job.start_time == listed[job_id].start_time
        assert job.submit_time == listed[job_id].submit_time
        assert (job.state in {"RUNNING", "SUSPENDED"}) == listed[job_id].is_live


@pytest.mark.parametrize("series", SERIES)
def test_accounting_returns_every_run(series: str) -> None:
    """Both runs of a requeued job are returned, by job ids and by time window."""
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


def test_without_accounting_there_are_no_earlier_runs() -> None:
    """On a cluster without accounting storage sacct is not called."""
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


def test_a_job_description_is_the_text_of_the_lookup() -> None:
    """If the look-up has read the text of the job, the description is not queried again."""
    recorded = commands("22.05")
    job_id = ids_of(recorded)[0]
    slurm = recorded.slurm()
    slurm.jobs([job_id])
    recorded.asked.clear()
    text = slurm.description(job_id)

    assert text is not None
    assert text.startswith(f"JobId={job_id} JobName=filler\n")
    assert [] == recorded.asked


def test_a_job_description_is_queried_if_the_lookup_had_no_text() -> None:
    """Scontrol describes a job that was read from JSON; an unknown job has no description."""
    recorded = commands("24.11")
    job_id = ids_of(recorded)[0]
    slurm = recorded.slurm()

    text = slurm.description(job_id)
    assert text is not None
    assert text.startswith(f"JobId={job_id} ")
    assert slurm.description(7) is None

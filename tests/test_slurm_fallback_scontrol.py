"""Where squeue fails, hangs or omits jobs, scontrol is called for each job."""

from __future__ import annotations

import pytest
from recorded_commands import (
    CONFIG,
    DOWN,
    UNKNOWN,
    commands,
    described,
    expected,
    ids_of,
)
from recorded_failures import facts, hang, lines
from recorded_slurm import SERIES

from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from slurm.lookup.text_source import MAX_JOBS
from slurm.process import CommandResult

FAILED = CommandResult((), 1, b"", b"squeue: error: Invalid job format specification\n")


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize(
    "scenario",
    ["gpu-two-nodes", "many-states", "het-job", "exclusive-user", "array-running-pending"],
)
def test_scontrol_is_used_where_squeue_fails(series: str, scenario: str) -> None:
    """One command per job gives state, times, cores, GRES and sharing."""
    recorded = commands(series, scenario)
    recorded.answers["squeue --local"] = FAILED
    found = recorded.slurm().jobs([*ids_of(recorded), 7])

    for job_id, truth in zip(ids_of(recorded), expected(recorded), strict=True):
        name, *said = described(found[job_id]).split()
        true_name, *true_facts = truth.split()
        assert name == true_name
        hidden = {fact for fact in true_facts if fact.endswith("+COMPLETING")}  # by one word
        assert set(said) - {"?+COMPLETING"} <= set(true_facts)
        assert set(true_facts) - set(said) - hidden <= {"shared", "node", "user"}
    assert 7 not in found


@pytest.mark.parametrize("series", SERIES)
def test_times_by_scontrol_are_those_of_squeue(series: str) -> None:
    """Start, end and submission time, uid and restart count of a job are the same."""
    recorded = commands(series, "many-states")
    usual = recorded.slurm().jobs(ids_of(recorded))
    recorded.answers["squeue --local"] = FAILED
    single = recorded.slurm().jobs(ids_of(recorded))

    def times(job: object) -> tuple[object, ...]:
        assert isinstance(job, Job)
        end = None if "COMPLETING" in job.flags else job.end_time  # one word hides the state
        return job.start_time, end, job.submit_time, job.uid, job.restart_count

    assert {i: times(job) for i, job in usual.items()} == {
        i: times(job) for i, job in single.items()
    }


def test_a_failing_squeue_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The warning lasts as long as scontrol is used instead."""
    recorded = commands("24.11")
    slurm = recorded.slurm()
    slurm.version()
    recorded.answers["squeue"] = CommandResult((), 127, b"", b"squeue: not found\n")
    facts(recorded, slurm)
    facts(recorded, slurm)
    (warning,) = slurm.warnings()
    recorded.answers.clear()
    facts(recorded, slurm)

    assert 1 == caplog.text.count("squeue failed")
    assert "not found" in warning
    assert () == slurm.warnings()


def test_without_an_answer_of_the_controller_scontrol_is_called_once() -> None:
    """Further calls, and the text of squeue, would ask the same controller."""
    recorded = commands("24.11")
    slurm = recorded.slurm(cluster="lab")
    slurm.version()
    recorded.asked.clear()
    recorded.answers |= {"squeue --local": DOWN, "show job": DOWN}
    with pytest.raises(SlurmError) as caught:
        slurm.jobs(range(1, 9))

    assert FailureReason.UNREACHABLE is caught.value.reason
    assert [1, 1] == [len(lines(recorded, "squeue")), len(lines(recorded, "show job"))]


def test_many_jobs_are_queried_in_part_where_squeue_fails() -> None:
    """Scontrol is called for 64 jobs; the others keep squeue's error until the next query."""
    recorded = commands("24.11")
    recorded.answers |= {"squeue --local": FAILED}
    wanted = [*ids_of(recorded), *range(1, 2 * MAX_JOBS)]
    found = recorded.slurm().jobs(wanted)
    kept = [job for job in found.values() if isinstance(job, SlurmError)]

    assert MAX_JOBS == len(lines(recorded, "show job"))
    assert len(wanted) - MAX_JOBS == len(kept)


def test_scontrol_that_stops_answering_is_not_called_again() -> None:
    """The earlier answers of scontrol are used, and the remaining jobs get an error."""
    recorded = commands("24.11")
    first, second = ids_of(recorded)
    recorded.answers |= {"squeue --local": FAILED, f"show job {second}": DOWN}
    found = recorded.slurm().jobs([first, second, second + 1])

    assert isinstance(found[first], Job)
    assert [second, second + 1] == [i for i, job in found.items() if isinstance(job, SlurmError)]
    assert 2 == len(lines(recorded, "show job"))


def test_a_hanging_squeue_is_not_called_for_a_minute() -> None:
    """Each look-up would otherwise take the whole time limit of squeue."""
    recorded = commands("24.11")
    hang(recorded, "-j")
    slurm = recorded.slurm()
    asked = []
    for seconds in (0, 59, 2):
        recorded.time += seconds
        recorded.asked.clear()
        facts(recorded, slurm)
        asked.append(len(lines(recorded, "squeue --local")))

    assert [2, 0, 2] == asked


def test_many_jobs_are_queried_by_squeue_even_after_it_hung() -> None:
    """Scontrol is called for at most 64 jobs, so that squeue is called for 65."""
    recorded = commands("24.11")
    hang(recorded, "-j")
    slurm = recorded.slurm()
    facts(recorded, slurm)
    recorded.alter = None

    assert {} == slurm.jobs(range(1, MAX_JOBS + 2))


def test_squeue_is_asked_again_where_scontrol_fails_too() -> None:
    """A squeue that hung is not called for a minute, except when scontrol fails."""
    recorded = commands("24.11")
    hang(recorded, "-j")
    slurm = recorded.slurm()
    facts(recorded, slurm)
    recorded.alter = None
    recorded.answers["show job"] = DOWN

    assert expected(recorded) == facts(recorded, slurm)


@pytest.mark.parametrize("series", SERIES)
def test_a_job_that_squeue_omits_is_found(series: str, caplog: pytest.LogCaptureFixture) -> None:
    """An empty answer with exit 0 does not prove that the controller has no such job."""
    recorded = commands(series)
    empty = b'{"jobs": [], "meta": {}, "errors": []}'
    recorded.answers |= {
        "--json": CommandResult((), 0, empty, b""),
        " -O ": CommandResult((), 0, b"", b""),
    }

    assert expected(recorded) == facts(recorded, recorded.slurm())
    assert "jobs missing from squeue were read from scontrol" in caplog.text


@pytest.mark.parametrize("series", SERIES)
def test_a_job_unknown_to_squeue_is_found(series: str) -> None:
    """A job that squeue does not know is read with `scontrol show job`, with the same nodes."""
    recorded = commands(series)
    job_id = ids_of(recorded)[0]
    wanted = recorded.slurm().jobs([job_id])
    recorded.answers |= {"--json": UNKNOWN, " -O ": UNKNOWN, " -o ": UNKNOWN}

    found = recorded.slurm().jobs([job_id])

    nodes = [job.nodes for job in (*wanted.values(), *found.values()) if isinstance(job, Job)]
    assert 2 * [nodes[0]] == nodes


def test_jobs_that_squeue_and_scontrol_omit_are_absent() -> None:
    """Scontrol is called for each job that squeue omits, and confirms that the job is unknown."""
    recorded = commands("24.11")

    assert {} == recorded.slurm().jobs([7, 8])
    assert 2 == len(lines(recorded, "show job"))


def test_a_missing_job_stays_missing_where_scontrol_fails() -> None:
    """Without the confirmation of scontrol, the answer of squeue is used."""
    recorded = commands("24.11")
    recorded.answers["show job"] = DOWN

    assert {} == recorded.slurm().jobs([7, 8])


def test_many_missing_jobs_are_not_confirmed_by_scontrol() -> None:
    """Nine jobs are missing: scontrol, which needs a process for each, is not called."""
    recorded = commands("24.11")
    recorded.slurm().jobs(range(1, 10))

    assert [] == lines(recorded, "show job")


def test_under_a_rate_limit_not_all_missing_jobs_are_confirmed() -> None:
    """With `rl_enable` Slurm limits the calls; scontrol is called only while calls are left."""
    recorded = commands("24.11")
    limited = CommandResult((), 0, CONFIG.replace(b"(null)", b"rl_enable"), b"")
    recorded.answers["show config"] = limited
    slurm = recorded.slurm()
    for _ in range(13):
        slurm.jobs([7, 8])

    assert 13 == len(lines(recorded, "squeue --local"))
    assert len(lines(recorded, "show job")) < 24

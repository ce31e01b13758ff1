"""Look-ups of jobs by every release: which commands run, how many, with the same jobs."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from recorded_commands import CONFIG, commands, described, expected, ids_of, job_of
from recorded_slurm import RELEASES, SERIES, json_jobs, recordings

from slurm.job import Job
from slurm.lookup.result import CallBudget
from slurm.process import CommandResult
from slurm.release import features_of

TEXT = ("21.08", "22.05")
OLD_JSON = ("23.02", "23.11")
SCENARIOS = ("many-states", "gpu-two-nodes", "special-chars", "het-job", "exclusive-user")


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("series", SERIES)
def test_every_release_gives_the_same_job_facts(series: str, scenario: str) -> None:
    """A query for several job ids gives state, CPUs, nodes, cores and GRES of each job."""
    recorded = commands(series, scenario)
    wanted = ids_of(recorded)
    found = recorded.slurm().jobs([*wanted, 1])
    lines = [described(found[job_id]) for job_id in wanted]

    assert wanted == sorted(found)
    for line, truth in zip(lines, expected(recorded), strict=True):
        name, *facts = line.split()
        true_name, *true_facts = truth.split()
        assert name in {true_name, "-", "-_-"}  # text has no names of waiting jobs
        assert set(facts) <= set(true_facts)
        assert set(true_facts) - set(facts) <= {"shared", "node", "user"}  # JSON without resources


@pytest.mark.parametrize("series", SERIES)
def test_one_job_is_queried_from_the_cheapest_source(series: str) -> None:
    """21.08 and 22.05 use the text of squeue and scontrol, later releases squeue's JSON."""
    recorded = commands(series)
    job_id = ids_of(recorded)[1]
    slurm = recorded.slurm(cluster="lab")
    slurm.version()
    recorded.asked.clear()
    slurm.jobs([job_id])

    option = features_of(RELEASES[series]).json_option
    if series in TEXT:
        assert [
            f"squeue --local -a -h -t all -j {job_id}",
            f"scontrol show job {job_id} -d --local",
            "scontrol -a show node",
        ] == recorded.asked
    else:
        geometry = ["scontrol -a show node"] if series in OLD_JSON else []
        assert [f"squeue --local -a -t all {option} -j {job_id}", *geometry] == recorded.asked


def test_many_jobs_are_queried_in_one_list_if_that_is_cheaper() -> None:
    """Jobs are queried singly while 10 ms for each is less than the time of the job list."""
    recorded = commands("22.05")
    slurm = recorded.slurm(cluster="lab")
    few, many = [1, 2], [1, 2, 3]
    slurm.jobs(few)
    assert not [line for line in recorded.asked if "--json" in line]
    recorded.seconds = 0.5

    slurm.jobs(many)
    assert "squeue --local -a -t all --json" in recorded.asked
    recorded.asked.clear()
    slurm.jobs(range(1, 50))
    assert not [line for line in recorded.asked if "--json" in line]
    slurm.jobs(range(1, 51))
    assert "squeue --local -a -t all --json" == recorded.asked[-1]


def test_only_this_cluster_of_a_federation_is_queried() -> None:
    """`scontrol show job` has `--local`: with fed_display it would show jobs of siblings too."""
    recorded = commands("22.05")
    slurm = recorded.slurm(cluster="lab")
    job_id = ids_of(recorded)[1]
    slurm.description(job_id)
    slurm.jobs([job_id])
    recorded.answers["squeue --local"] = CommandResult((), 1, b"", b"squeue: error: x\n")
    slurm.jobs([job_id])

    asked = [line for line in recorded.asked if f"show job {job_id}" in line]
    assert 3 == len(asked) == len([line for line in asked if line.endswith(" --local")])


@pytest.mark.parametrize("series", [*TEXT, *OLD_JSON])
def test_node_sizes_are_read_again_after_ten_minutes(series: str) -> None:
    """Sockets, cores and threads of a node change if its name goes to another machine."""
    recorded = commands(series)
    slurm = recorded.slurm(cluster="lab")
    job_id = ids_of(recorded)[1]
    before = job_of(slurm, job_id)
    nodes = recordings(series)["cluster"]["scontrol-nodes.txt"]
    changed = nodes.replace(b"CoresPerSocket=4", b"CoresPerSocket=8")
    recorded.answers["show node"] = CommandResult((), 0, changed, b"")
    recorded.time += 600
    same = job_of(slurm, job_id)
    recorded.time += 1
    after = job_of(slurm, job_id)

    counts = [[part.core_count for part in job.allocations] for job in (before, same, after)]
    assert [[8, 8], [8, 8], [16, 16]] == counts
    assert 2 == recorded.asked.count("scontrol -a show node")


@pytest.mark.parametrize("series", [*TEXT, *OLD_JSON])
def test_jobs_are_read_while_scontrol_show_node_fails(series: str) -> None:
    """The earlier node sizes are used; the failing command runs at most once a minute."""
    recorded = commands(series)
    slurm = recorded.slurm(cluster="lab")
    job_id = ids_of(recorded)[1]
    before = job_of(slurm, job_id)
    recorded.answers["show node"] = CommandResult((), 1, b"", b"Zero Bytes were transmitted\n")
    recorded.time += 601
    meanwhile = [job_of(slurm, job_id).allocations for _ in range(2)]
    del recorded.answers["show node"]
    recorded.time += 60
    job_of(slurm, job_id)

    assert [before.allocations] * 2 == meanwhile
    assert 3 == recorded.asked.count("scontrol -a show node")


def test_slow_single_queries_are_replaced_by_the_job_list() -> None:
    """On a busy host, where each command takes 0.1 s, three jobs are queried in one job list."""
    recorded = commands("22.05")
    slurm = recorded.slurm(cluster="lab")
    job_id = ids_of(recorded)[0]
    recorded.seconds = 0.1
    slurm.jobs(range(1, 8))
    slurm.jobs([job_id])
    recorded.asked.clear()

    slurm.jobs([job_id, 1, 2])

    assert "squeue --local -a -t all --json" == recorded.asked[0]


@pytest.mark.parametrize("series", TEXT)
def test_a_query_for_states_only_runs_one_process(series: str) -> None:
    """Cores need a process per job, so they are omitted for jobs whose end alone is needed."""
    recorded = commands(series)
    job_id = ids_of(recorded)[1]
    slurm = recorded.slurm(cluster="lab")
    whole = slurm.jobs([job_id])[job_id]
    recorded.asked.clear()

    brief = slurm.jobs([job_id], states_only={job_id})[job_id]

    assert [f"squeue --local -a -h -t all -j {job_id}"] == recorded.asked
    assert isinstance(whole, Job)
    assert isinstance(brief, Job)
    assert (whole.state, whole.start_time, whole.end_time, ()) == (
        brief.state,
        brief.start_time,
        brief.end_time,
        brief.allocations,
    )


@pytest.mark.parametrize("series", OLD_JSON)
def test_each_job_is_queried_alone_in_old_json(series: str) -> None:
    """JSON of 23.02 and 23.11 can be filtered by one job id only: each job is one call."""
    recorded = commands(series)
    found = recorded.slurm().jobs([*ids_of(recorded), 7])
    option = features_of(RELEASES[series]).json_option
    calls = [line for line in recorded.asked if option in line]

    assert ids_of(recorded) == sorted(found)
    assert 3 == len(calls)
    assert all(" -j " in line and "," not in line for line in calls)


def test_with_a_rate_limit_many_jobs_are_queried_in_one_list() -> None:
    """Slurm's rate limit (rl_enable) allows 25 calls at once and 2 per second after that."""
    recorded = commands("23.02")
    config = recorded.slurm().config()
    assert config["SlurmctldParameters"] == ()
    limited = CommandResult((), 0, CONFIG.replace(b"(null)", b"rl_enable,x"), b"")
    recorded.answers["show config"] = limited
    slurm = recorded.slurm()
    slurm.jobs(range(1, 21))
    recorded.asked.clear()
    recorded.seconds = 0.5
    slurm.jobs(range(1, 21))
    assert "squeue --local -a -t all --json" == recorded.asked[-1]

    recorded.time += 10.0
    recorded.asked.clear()
    slurm.jobs([1, 2])
    assert 2 == len([line for line in recorded.asked if " -j " in line])


def test_calls_after_a_pause_are_counted() -> None:
    """The bucket is full again after a pause of 100 s; 20 calls later it has 5 calls left."""
    times = [0.0]
    budget = CallBudget(lambda: times[0])
    for _ in range(25):
        budget.spend()
    times[0] = 100.0
    for _ in range(20):
        budget.spend()

    assert 5 == budget.remaining()


def test_json_and_text_give_the_same_jobs(caplog: pytest.LogCaptureFixture) -> None:
    """JSON and text of 22.05 differ only in name, requested memory and constraints of a job."""
    caplog.set_level(logging.ERROR)
    recorded = commands("22.05", "many-states")
    by_json = json_jobs(recorded.situation.files["squeue-all.json"])
    by_text = recorded.slurm().jobs(ids_of(recorded))
    for job_id, job in by_json.items():
        other = by_text[job_id]
        assert isinstance(other, Job)
        same = replace(
            other, name=job.name, requested_memory=job.requested_memory, constraints=job.constraints
        )
        assert job == same


@pytest.mark.parametrize("series", TEXT)
def test_the_last_task_of_an_array_is_queried_by_its_task_id(series: str) -> None:
    """The last task has the id of the array, for which scontrol would print all tasks."""
    recorded = commands(series, "array-running-pending", "ended")
    array = ids_of(recorded)[0]
    job = job_of(recorded.slurm(), array)

    assert expected(recorded)[0] == described(job)
    assert f"scontrol show job {array}_6 -d --local" in recorded.asked

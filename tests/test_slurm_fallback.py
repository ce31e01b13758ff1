"""Where one source of job records fails, the next one is asked; no job blocks another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from recorded_commands import (
    COMMANDS,
    CONFIG,
    DOWN,
    UNKNOWN,
    RecordedCommands,
    commands,
    described,
    expected,
    ids_of,
)
from recorded_slurm import SERIES

from slurm.client import Slurm
from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from slurm.lookup.text_source import MAX_JOBS
from slurm.process import CommandResult

TEXT = ("21.08", "22.05")
JSON = tuple(series for series in SERIES if series not in TEXT)
KILLED = CommandResult((), 139, b'{"jobs": [', b"Segmentation fault\n")
FAILED = CommandResult((), 1, b"", b"squeue: error: Invalid job format specification\n")


def hang(recorded: RecordedCommands, *words: str) -> list[float]:
    """Let commands hang whose line has one of some words; return all time limits."""
    limits: list[float] = []

    def alter(argv: Sequence[str], seconds: float, answer: CommandResult) -> CommandResult:
        limits.append(seconds)
        if any(word in argv for word in words):
            raise SlurmError("did not end", reason=FailureReason.TIMEOUT)
        return answer

    recorded.alter = alter
    return limits


def lines(recorded: RecordedCommands, words: str) -> list[str]:
    """Return the command lines so far that hold some words."""
    return [line for line in recorded.asked if words in line]


def facts(recorded: RecordedCommands, slurm: Slurm) -> list[str]:
    """Return all jobs of the moment in one line each."""
    found = slurm.jobs(ids_of(recorded))
    return [described(found[job_id]) for job_id in ids_of(recorded)]


# JSON fails, text works


@pytest.mark.parametrize(
    "answer",
    [
        KILLED,
        CommandResult((), -11, b"", b""),
        CommandResult((), 1, b"", b"squeue: error: something else\n"),
        CommandResult((), 0, b"", b""),
        CommandResult((), 0, b'{"jobs": [{"cluster": "lab", "job_id": "x"}], "meta": 1}', b""),
        CommandResult((), 0, b'{"jobs": [{"job_id": 4201000}], "meta": 1, "errors": []}', b""),
        DOWN,
    ],
    ids=lambda answer: f"{answer.status} {answer.stdout[:20]!r}",
)
def test_text_serves_where_json_fails_in_any_way(answer: CommandResult) -> None:
    """A crash, an error, an answer without sense: the jobs are read from text."""
    recorded = commands("26.05")
    recorded.answers["--json"] = answer

    assert expected(recorded) == facts(recorded, recorded.slurm())


def test_json_that_failed_is_asked_for_again_after_ten_minutes() -> None:
    """Until then text is read at once."""
    recorded = commands("24.11")
    recorded.answers["--json"] = KILLED
    slurm = recorded.slurm()
    calls = []
    for seconds in (0.0, 599.0, 2.0):
        recorded.time += seconds
        recorded.asked.clear()
        facts(recorded, slurm)
        calls.append(len(lines(recorded, "--json")))

    assert [1, 0, 1] == calls


def test_failing_json_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The log has it once, the client while it lasts."""
    recorded = commands("24.11")
    recorded.answers["--json"] = KILLED
    slurm = recorded.slurm()
    facts(recorded, slurm)
    recorded.time += 601
    facts(recorded, slurm)
    (warning,) = slurm.warnings()
    recorded.answers.clear()
    recorded.time += 601
    facts(recorded, slurm)

    assert 1 == caplog.text.count("JSON cannot be read")
    assert "exited with 139 (SIGSEGV): Segmentation fault" in warning
    assert () == slurm.warnings()


def test_hanging_json_gives_way_to_text_with_a_short_time() -> None:
    """Text that hangs too must not double the wait."""
    recorded = commands("24.11")
    slurm = recorded.slurm(cluster="lab")
    slurm.version()
    limits = hang(recorded, "--json=v0.0.42")

    assert expected(recorded) == facts(recorded, slurm)
    assert [60.0, 10.0] == limits[:2]


def test_answer_of_another_cluster_is_no_reason_for_text() -> None:
    """Text does not show whose jobs it lists."""
    recorded = commands("24.11")
    slurm = recorded.slurm(cluster="other")
    with pytest.raises(SlurmError) as caught:
        slurm.jobs(ids_of(recorded))

    assert FailureReason.WRONG_CLUSTER is caught.value.reason
    assert [] == lines(recorded, " -O ")


def test_json_of_another_cluster_beside_suspect_text_is_refused() -> None:
    """Then the text is of that cluster, too."""
    recorded = commands("22.05", "special-chars")
    with pytest.raises(SlurmError) as caught:
        recorded.slurm(cluster="other").jobs(ids_of(recorded))

    assert FailureReason.WRONG_CLUSTER is caught.value.reason


@pytest.mark.parametrize("wrapped", [b'{"set": true, "infinite": false, "number": %d}', b"%d.0"])
def test_job_ids_may_be_wrapped(wrapped: bytes) -> None:
    """As all other numbers of JSON may be."""
    recorded = commands("24.11")
    document = recorded.situation.files["squeue.json"]
    for job_id in ids_of(recorded):
        document = document.replace(b'"job_id": %d' % job_id, b'"job_id": ' + wrapped % job_id)
    recorded.answers["--json"] = CommandResult((), 0, document, b"")
    slurm = recorded.slurm()

    assert expected(recorded) == facts(recorded, slurm)
    assert () == slurm.warnings()


# squeue fails, scontrol works


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize(
    "scenario",
    ["gpu-two-nodes", "many-states", "het-job", "exclusive-user", "array-running-pending"],
)
def test_scontrol_serves_where_squeue_fails(series: str, scenario: str) -> None:
    """Each job with state, times, cores, GRES and sharing, by one command each."""
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
    """Start, end and submission are facts of the run."""
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


def test_a_dead_squeue_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """As long as scontrol has to serve."""
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


def test_a_silent_controller_costs_one_scontrol() -> None:
    """Not one for each job, and not the text of squeue: that would ask the same controller."""
    recorded = commands("24.11")
    slurm = recorded.slurm(cluster="lab")
    slurm.version()
    recorded.asked.clear()
    recorded.answers |= {"squeue --local": DOWN, "show job": DOWN}
    with pytest.raises(SlurmError) as caught:
        slurm.jobs(range(1, 9))

    assert FailureReason.UNREACHABLE is caught.value.reason
    assert [1, 1] == [len(lines(recorded, "squeue")), len(lines(recorded, "show job"))]


def test_a_crowd_is_asked_in_part_where_squeue_fails() -> None:
    """Those that were not asked keep squeue's error and come next time."""
    recorded = commands("24.11")
    recorded.answers |= {"squeue --local": FAILED}
    wanted = [*ids_of(recorded), *range(1, 2 * MAX_JOBS)]
    found = recorded.slurm().jobs(wanted)
    kept = [job for job in found.values() if isinstance(job, SlurmError)]

    assert MAX_JOBS == len(lines(recorded, "show job"))
    assert len(wanted) - MAX_JOBS == len(kept)


def test_scontrol_that_falls_silent_is_not_asked_on() -> None:
    """What it has answered so far is kept."""
    recorded = commands("24.11")
    first, second = ids_of(recorded)
    recorded.answers |= {"squeue --local": FAILED, f"show job {second}": DOWN}
    found = recorded.slurm().jobs([first, second, second + 1])

    assert isinstance(found[first], Job)
    assert [second, second + 1] == [i for i, job in found.items() if isinstance(job, SlurmError)]
    assert 2 == len(lines(recorded, "show job"))


def test_a_hanging_squeue_is_set_aside_for_a_minute() -> None:
    """Each look-up would take its whole time limit otherwise."""
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


def test_a_crowd_asks_squeue_although_it_is_set_aside() -> None:
    """Scontrol cannot serve that many."""
    recorded = commands("24.11")
    hang(recorded, "-j")
    slurm = recorded.slurm()
    facts(recorded, slurm)
    recorded.alter = None

    assert {} == slurm.jobs(range(1, MAX_JOBS + 2))


def test_squeue_is_asked_again_where_scontrol_fails_too() -> None:
    """Being set aside is no reason to give up."""
    recorded = commands("24.11")
    hang(recorded, "-j")
    slurm = recorded.slurm()
    facts(recorded, slurm)
    recorded.alter = None
    recorded.answers["show job"] = DOWN

    assert expected(recorded) == facts(recorded, slurm)


# squeue leaves jobs out


@pytest.mark.parametrize("series", SERIES)
def test_a_job_that_squeue_leaves_out_is_found(
    series: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An empty answer with exit 0 is no word of the controller about a job."""
    recorded = commands(series)
    empty = b'{"jobs": [], "meta": {}, "errors": []}'
    recorded.answers |= {
        "--json": CommandResult((), 0, empty, b""),
        " -O ": CommandResult((), 0, b"", b""),
    }

    assert expected(recorded) == facts(recorded, recorded.slurm())
    assert "jobs that scontrol shows, but squeue does not list" in caplog.text


@pytest.mark.parametrize("series", SERIES)
def test_a_job_that_squeue_denies_is_found(series: str) -> None:
    """Of the two sources scontrol still has its cores, which accounting has not."""
    recorded = commands(series)
    job_id = ids_of(recorded)[0]
    wanted = recorded.slurm().jobs([job_id])
    recorded.answers |= {"--json": UNKNOWN, " -O ": UNKNOWN, " -o ": UNKNOWN}

    found = recorded.slurm().jobs([job_id])

    nodes = [job.nodes for job in (*wanted.values(), *found.values()) if isinstance(job, Job)]
    assert 2 * [nodes[0]] == nodes


def test_jobs_that_both_leave_out_are_absent() -> None:
    """The controller's own word counts, whoever asks."""
    recorded = commands("24.11")

    assert {} == recorded.slurm().jobs([7, 8])
    assert 2 == len(lines(recorded, "show job"))


def test_a_missing_job_stays_missing_where_scontrol_fails() -> None:
    """Squeue's answer stands."""
    recorded = commands("24.11")
    recorded.answers["show job"] = DOWN

    assert {} == recorded.slurm().jobs([7, 8])


def test_many_missing_jobs_cost_no_process_each() -> None:
    """A crowd of forgotten jobs is usual after an outage."""
    recorded = commands("24.11")
    recorded.slurm().jobs(range(1, 10))

    assert [] == lines(recorded, "show job")


# one job's text makes the whole answer unreadable


def with_account(recorded: RecordedCommands, *job_ids: int) -> None:
    """Give some jobs an account that moves all columns behind it in the text of squeue."""

    def alter(argv: Sequence[str], _seconds: float, answer: CommandResult) -> CommandResult:
        if "-O" not in argv:
            return answer
        text = answer.stdout
        for line in text.splitlines():
            if int(line.split(b"|")[0]) in job_ids:
                text = text.replace(line, re.sub(rb"\|(k[12]000)\|", rb"|\1|x\ny|", line))
        return replace(answer, stdout=text)

    recorded.alter = alter


@pytest.mark.parametrize("series", TEXT)
def test_a_row_that_cannot_be_read_blocks_nobody(series: str) -> None:
    """Its own job comes by JSON, the other by text."""
    recorded = commands(series)
    with_account(recorded, ids_of(recorded)[1])

    assert expected(recorded) == facts(recorded, recorded.slurm())
    assert 1 == len(lines(recorded, "--json"))


@pytest.mark.parametrize("series", TEXT)
def test_a_row_that_cannot_be_read_without_json(series: str) -> None:
    """Its own job comes by scontrol."""
    recorded = commands(series)
    with_account(recorded, ids_of(recorded)[1])
    recorded.answers["--json"] = KILLED

    assert expected(recorded) == facts(recorded, recorded.slurm())
    assert 1 == len(lines(recorded, "--json"))


def test_a_row_that_nobody_can_read_is_an_error_of_its_own() -> None:
    """The other job is found all the same."""
    recorded = commands("22.05")
    good, odd = ids_of(recorded)
    with_account(recorded, odd)
    recorded.answers |= {"--json": KILLED, f"show job {odd}": DOWN}
    found = recorded.slurm().jobs([good, odd])

    assert isinstance(found[good], Job)
    assert isinstance(found[odd], SlurmError)


@pytest.mark.parametrize("series", TEXT)
def test_text_that_cannot_be_read_at_all_gives_way_to_json(series: str) -> None:
    """A wrapper prints something else."""
    recorded = commands(series)
    recorded.answers[" -O "] = CommandResult((), 0, b"see the wiki\n", b"")

    assert expected(recorded) == facts(recorded, recorded.slurm())
    assert [] == lines(recorded, "show job")


def test_text_that_cannot_be_read_without_json_gives_way_to_scontrol() -> None:
    """The last source."""
    recorded = commands("22.05")
    recorded.answers |= {"--json": KILLED, " -O ": CommandResult((), 0, b"see the wiki\n", b"")}
    slurm = recorded.slurm()

    assert expected(recorded) == facts(recorded, slurm)
    assert "see the wiki" in slurm.warnings()[0]


@pytest.mark.parametrize("answer", [DOWN, CommandResult((), -9, b"", b"")], ids=["down", "killed"])
def test_a_silent_scontrol_leaves_cores_to_json(answer: CommandResult) -> None:
    """Of a job whose cores text cannot give at this moment."""
    recorded = commands("22.05")
    recorded.answers["show job"] = answer

    assert expected(recorded) == facts(recorded, recorded.slurm())


def test_cores_that_nobody_tells_just_now_are_waited_for() -> None:
    """The job is an error of its own: reported without cores it would lack them for good."""
    recorded = commands("21.08")
    recorded.answers |= {"show job": DOWN, "--json": KILLED}
    found = recorded.slurm().jobs(ids_of(recorded))

    assert ids_of(recorded) == [i for i, job in found.items() if isinstance(job, SlurmError)]
    assert 1 == len(lines(recorded, "show job"))


# the rest


def test_a_spent_budget_of_calls_confirms_nothing() -> None:
    """Where Slurm limits the rate, a missing job is not worth a blocked account."""
    recorded = commands("24.11")
    limited = CommandResult((), 0, CONFIG.replace(b"(null)", b"rl_enable"), b"")
    recorded.answers["show config"] = limited
    slurm = recorded.slurm()
    for _ in range(13):
        slurm.jobs([7, 8])

    assert 13 == len(lines(recorded, "squeue --local"))
    assert len(lines(recorded, "show job")) < 24


def test_commands_have_the_time_that_the_caller_allows() -> None:
    """A worker with little time passes it on to each command."""
    recorded = commands("24.11")
    limits = hang(recorded)
    slurm = Slurm(COMMANDS, recorded, timeout_seconds=5)
    slurm.jobs([*ids_of(recorded), 7])
    slurm.listing()

    assert {5} == set(limits)

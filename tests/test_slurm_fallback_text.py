"""Where JSON fails, hangs or is of another cluster, jobs are read from squeue's text."""

from __future__ import annotations

import pytest
from recorded_commands import (
    COMMANDS,
    DOWN,
    commands,
    expected,
    ids_of,
)
from recorded_failures import KILLED, facts, hang, lines

from slurm.client import Slurm
from slurm.errors import FailureReason, SlurmError
from slurm.process import CommandResult


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
def test_text_is_used_where_json_fails_in_any_way(answer: CommandResult) -> None:
    """`squeue --json` crashes, returns an error, or prints an invalid answer."""
    recorded = commands("26.05")
    recorded.answers["--json"] = answer

    assert expected(recorded) == facts(recorded, recorded.slurm())


def test_failed_json_is_requested_again_after_ten_minutes() -> None:
    """For ten minutes squeue's text is read without another try of JSON."""
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
    """The failure of JSON is logged once; the client has the warning until JSON works again."""
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


def test_hanging_json_is_replaced_by_text_with_a_short_time_limit() -> None:
    """JSON may take 60 s, text then only 10 s: a second hanging call must not double the wait."""
    recorded = commands("24.11")
    slurm = recorded.slurm(cluster="lab")
    slurm.version()
    limits = hang(recorded, "--json=v0.0.42")

    assert expected(recorded) == facts(recorded, slurm)
    assert [60.0, 10.0] == limits[:2]


def test_answer_of_another_cluster_is_not_replaced_by_text() -> None:
    """The text does not show the cluster of its jobs."""
    recorded = commands("24.11")
    slurm = recorded.slurm(cluster="other")
    with pytest.raises(SlurmError) as caught:
        slurm.jobs(ids_of(recorded))

    assert FailureReason.WRONG_CLUSTER is caught.value.reason
    assert [] == lines(recorded, " -O ")


def test_json_of_another_cluster_beside_suspect_text_is_refused() -> None:
    """Squeue's text is suspect, so that JSON is read, too; both are of the other cluster."""
    recorded = commands("22.05", "special-chars")
    with pytest.raises(SlurmError) as caught:
        recorded.slurm(cluster="other").jobs(ids_of(recorded))

    assert FailureReason.WRONG_CLUSTER is caught.value.reason


@pytest.mark.parametrize("wrapped", [b'{"set": true, "infinite": false, "number": %d}', b"%d.0"])
def test_job_ids_in_json_may_be_objects_or_decimals(wrapped: bytes) -> None:
    """A job id may be an object with set, infinite and number, as other numbers are, or 7.0."""
    recorded = commands("24.11")
    document = recorded.situation.files["squeue.json"]
    for job_id in ids_of(recorded):
        document = document.replace(b'"job_id": %d' % job_id, b'"job_id": ' + wrapped % job_id)
    recorded.answers["--json"] = CommandResult((), 0, document, b"")
    slurm = recorded.slurm()

    assert expected(recorded) == facts(recorded, slurm)
    assert () == slurm.warnings()


def test_commands_have_the_time_limit_of_the_caller() -> None:
    """A worker with little time passes it on to each command."""
    recorded = commands("24.11")
    limits = hang(recorded)
    slurm = Slurm(COMMANDS, recorded, timeout_seconds=5)
    slurm.jobs([*ids_of(recorded), 7])
    slurm.listing()

    assert {5} == set(limits)

"""No wrong answer of Slurm or cc-backend makes a sweep stop a running job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from faulty_slurm import AnswerFault, FaultySlurm, ListedRun, also, changed, cut, fails, lines, says
from forty_jobs import RUNNING, ListedThere, stops, swept
from sweep_values import NOON, OLD

from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, BackendRow, JobList
from slurm.errors import FailureReason, SlurmError
from spool.exit_codes import CONFIG, DRIFT, NO_PERMISSION, OK, REFUSED, UNAVAILABLE
from sweeper.commands.output import plan_code

FATAL = b"squeue: fatal: Could not establish a configuration source\n"
TIMEOUT = SlurmError("squeue timed out after 60 s", reason=FailureReason.TIMEOUT)
TOO_LARGE = SlurmError("squeue printed more than 9 bytes", reason=FailureReason.TOO_LARGE)
MISSING = SlurmError("cannot run squeue", reason=FailureReason.NOT_STARTED, hint="check the path")
GONE = b"slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"


def truth() -> FaultySlurm:
    """Return a Slurm with forty running jobs."""
    return FaultySlurm(now=NOON, runs=[ListedRun(i, OLD) for i in RUNNING])


def test_correct_answers_plan_nothing(tmp_path: Path) -> None:
    """Forty jobs run in Slurm and at cc-backend: both sweeps exit with 0."""
    results = swept(tmp_path, truth())

    assert [plan_code(result.decision.plan) for result in results] == [OK, OK]


WRONG_ANSWERS: dict[str, tuple[dict[str, AnswerFault], int, str]] = {
    "exit 0 and an empty list": ({"squeue": says()}, REFUSED, "no running job"),
    "only our own jobs": ({"squeue": lines(lambda x: x < b"103")}, REFUSED, "3 running jobs"),
    "cut inside a line": ({"squeue": cut(1000)}, REFUSED, "cut"),
    "a line too short": ({"squeue": changed(b"|work|", b"|")}, REFUSED, "fields instead of"),
    "whole, but exit 1": ({"squeue": also(status=1)}, REFUSED, "exited with 1"),
    "half, and a signal": (
        {"squeue": lambda result: replace(cut(0.5)(result), status=-9)}, REFUSED, "exited with -9"),
    "exit 0, an error and no list": ({"squeue": says(stderr=b"error: x")}, REFUSED, "error: x"),
    "whole, with a failed query": ({"squeue": also(stderr=GONE)}, UNAVAILABLE, "Unable to contact"),
    "a hang": ({"squeue": fails(TIMEOUT)}, REFUSED, "timed out after 60 s"),
    "no end of it": ({"squeue": fails(TOO_LARGE)}, REFUSED, "more than 9 bytes"),
    "no such command": ({"squeue": fails(MISSING)}, UNAVAILABLE, "check the path"),
    "fatal text": ({"squeue": says(stderr=FATAL, status=1)}, REFUSED, "configuration source"),
    "fatal text, exit 0": ({"squeue": says(FATAL)}, REFUSED, "fields instead of"),
    "no controller": ({"squeue": says(stderr=GONE, status=1)}, UNAVAILABLE, "Unable to contact"),
    "HTML": ({"squeue": says(b"<html>\n<body>504</body>\n")}, REFUSED, "fields instead of"),
    "no numbers": (
        {"squeue": changed(b"|RUNNING|17", b"|RUNNING|N/A17")},
        REFUSED,
        "a time in epoch seconds, got",
    ),
    "a hidden partition": (
        {"squeue": lines(lambda x: x < b"110")}, REFUSED, "fewer than 50% of the 40"),
    "another cluster": ({"config": changed(b"= lab", b"= fritz")}, REFUSED, "cluster is 'fritz'"),
    "a configuration cut": ({"config": cut(0.5)}, REFUSED, "is incomplete"),
    "no configuration": ({"config": says(stderr=GONE, status=1)}, UNAVAILABLE, "Unable to contact"),
    "private data": ({"config": changed(b"= none", b"= jobs")}, REFUSED, "AdminLevel Operator"),
    "private data and more": (
        {"config": changed(b"= none", b"= accounts,jobs")}, REFUSED, "AdminLevel Operator"),
}  # fmt: skip


@pytest.mark.parametrize("wrong_answer", WRONG_ANSWERS)
def test_no_wrong_answer_of_the_controller_stops_a_job(tmp_path: Path, wrong_answer: str) -> None:
    """The plan is refused, and its message has the reason."""
    slurm = truth()
    slurm.faults, code, words = WRONG_ANSWERS[wrong_answer]

    results = swept(tmp_path, slurm)

    assert stops(results) == 0
    plan = results[0].decision.plan
    assert plan_code(plan) == code
    assert words in " ".join(guard.text for guard in plan.guards)


CLOCKS = {
    "a controller up for a minute": ({"booted": NOON - 60}, "up for 60 s"),
    "a clock an hour behind": (
        {"own_clock": NOON - 3600},
        "differs from slurmctld's by -3600 s",
    ),
    "a clock an hour ahead": (
        {"own_clock": NOON + 3600},
        "differs from slurmctld's by 3600 s",
    ),
}


@pytest.mark.parametrize("wrong_answer", CLOCKS)
def test_no_job_is_stopped_if_slurmctld_fails_a_check(tmp_path: Path, wrong_answer: str) -> None:
    """The controller is up for 60 s, or its clock differs by an hour: even a proven end waits."""
    facts, words = CLOCKS[wrong_answer]
    slurm = truth()
    slurm.booted, slurm.own_clock = facts.get("booted"), facts.get("own_clock")
    slurm.runs[0] = ListedRun(100, OLD, "COMPLETED", OLD + 60, in_squeue=False)

    results = swept(tmp_path, slurm)

    assert stops(results) == 0
    assert words in results[0].decision.plan.guards[0].text
    assert plan_code(results[0].decision.plan) == REFUSED


ACCOUNTING: dict[str, tuple[AnswerFault, int]] = {
    "late: still running": (changed(b"COMPLETED", b"RUNNING"), DRIFT),
    "late: pending": (changed(b"COMPLETED", b"PENDING"), DRIFT),
    "without a row": (says(), DRIFT),
    "an end without a time": (lambda result: _without_end(result.stdout)(result), DRIFT),
    "another start": (changed(b"%d" % OLD, b"%d" % (OLD - 86400)), DRIFT),
    "down": (says(stderr=b"sacct: error: Problem talking to the database", status=1), REFUSED),
    "hanging": (fails(TIMEOUT), REFUSED),
    "cut": (cut(0.5), REFUSED),
    "of another cluster": (changed(b"lab", b"fritz"), REFUSED),
    "not text": (says(b"\0\xff\n"), REFUSED),
}


def _without_end(stdout: bytes) -> AnswerFault:
    return changed(b"\x1f%d\x1f" % (OLD + 60), b"\x1fUnknown\x1f") if stdout else says(stdout)


@pytest.mark.parametrize("wrong_answer", ACCOUNTING)
def test_no_wrong_answer_of_accounting_stops_a_job(tmp_path: Path, wrong_answer: str) -> None:
    """The job is missing in squeue, and accounting does not prove its end."""
    slurm = truth()
    slurm.runs[0] = ListedRun(100, OLD, "COMPLETED", OLD + 60, in_squeue=False)
    slurm.faults["sacct"], code = ACCOUNTING[wrong_answer]

    results = swept(tmp_path, slurm)

    assert stops(results) == 0
    assert plan_code(results[0].decision.plan) == code


def test_no_job_is_stopped_after_a_clean_start_of_slurmctld(tmp_path: Path) -> None:
    """The controller has lost all jobs; accounting still has them as running."""
    slurm = truth()
    slurm.runs = [replace(run, in_squeue=False) for run in slurm.runs]
    slurm.booted = NOON - 300

    results = swept(tmp_path, slurm)

    assert stops(results) == 0
    assert [plan_code(result.decision.plan) for result in results] == [REFUSED, DRIFT]


def test_no_job_is_stopped_if_slurmctld_has_an_old_state(tmp_path: Path) -> None:
    """The controller shows yesterday's jobs as running and lacks some of today's."""
    slurm = truth()
    slurm.runs = [replace(run, in_squeue=run.job_id < 120) for run in slurm.runs]
    slurm.runs += [ListedRun(i, OLD - 86400, accounted="COMPLETED") for i in range(50, 75)]

    assert stops(swept(tmp_path, slurm)) == 0


def reply(reason: Reason, status: int | None, text: str = "") -> JobList:
    """Return an unknown job list."""
    verdict = ReplyVerdict(reason, text)
    return JobList(ApiReply(call=ApiCall.GRAPHQL, verdict=verdict, status=status))


THERE: dict[str, tuple[JobList, int, str]] = {
    "cut": (reply(Reason.QUERY_FAILED, 200, "not a job list"), REFUSED, "not a job list"),
    "a wrong count": (reply(Reason.QUERY_FAILED, 200, "it has 3 of 9 jobs"), REFUSED, "3 of 9"),
    "500": (reply(Reason.UNEXPECTED, 500), REFUSED, "status 500"),
    "HTML": (reply(Reason.NOT_THE_API, 200, "<html>"), REFUSED, "not_the_api"),
    "broken off": (reply(Reason.BROKEN, None), REFUSED, "no answer"),
    "down": (reply(Reason.UNREACHABLE, None, "refused"), UNAVAILABLE, "refused"),
    "a wrong account": (reply(Reason.ROLE_REFUSED, 401), NO_PERMISSION, "role api"),
    "an expired token": (reply(Reason.TOKEN_EXPIRED, 401), NO_PERMISSION, "token"),
    "a redirect": (reply(Reason.REDIRECTED, 301), CONFIG, "redirects to another URL"),
    "another cluster": (
        JobList(ListedThere().listing.reply, (BackendRow(1, "fritz", OLD, "running", 1),)),
        REFUSED, "'fritz'"),
}  # fmt: skip


@pytest.mark.parametrize("wrong_answer", THERE)
def test_no_wrong_answer_of_cc_backend_stops_a_job(tmp_path: Path, wrong_answer: str) -> None:
    """With an incomplete job list nothing is planned."""
    listing, code, words = THERE[wrong_answer]

    results = swept(tmp_path, truth(), ListedThere(listing))

    plan = results[0].decision.plan
    assert stops(results) == 0
    assert listing.rows is not None or plan.changes == ()
    assert plan_code(plan) == code
    assert words in plan.guards[0].text


def test_an_empty_job_list_stops_no_job(tmp_path: Path) -> None:
    """cc-backend lists no job: each running job is planned as a start, which is harmless."""
    listing = ListedThere().listing

    results = swept(tmp_path, truth(), ListedThere(replace(listing, rows=())))

    assert stops(results) == 0
    assert len(results[0].decision.plan.changes) == len(RUNNING)

"""How runs of scrontab end: recorded with Slurm 24.11.5, `ScronParameters=enable`.

After each run the controller has the job PENDING again under the same id; accounting says REQUEUED,
as for a run that was interrupted, with the exit code of the run. The events are those of
PrologSlurmctld and EpilogSlurmctld. An ordinary job with `RequeueExit=7` ends in the same way.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from slurm.decode.sacct_rows import SACCT_FIELDS, SACCT_SEPARATOR, parse_sacct_rows
from slurm.decode.squeue_json import parse_job
from slurm.job import SCRONTAB_FLAG, Job
from spool.files.event import Event, EventKind, event_name
from spool.resolve.job_query import JobQuery, SlurmAnswers
from spool.resolve.resolve_job import resolve_job
from spool.resolve.run_match import TrackedRun

PENDING = {
    "job_id": 1000,
    "cluster": "lab",
    "job_state": ["PENDING"],
    "state_reason": "BeginTime",
    "start_time": {"set": True, "infinite": False, "number": 1795830900},
    "end_time": {"set": True, "infinite": False, "number": 1795834500},
    "submit_time": {"set": True, "infinite": False, "number": 1795830845},
    "restart_cnt": 1,
    "nodes": "",
    "flags": ["CRON_JOB", "USING_DEFAULT_ACCOUNT", "USING_DEFAULT_QOS", "BACKFILL_ATTEMPTED"],
    "cron": "* * * * *",
}
RUNS = {
    # what the line did: state, start, end, exit code, restarts before, restarts in the epilog
    "exit 0": ("REQUEUED", 1795830840, 1795830845, "0:0", 0, 0),
    "exit 0, second run": ("REQUEUED", 1795830900, 1795830905, "0:0", 1, 1),
    "exit 3": ("REQUEUED", 1795830840, 1795830845, "3:0", 0, 0),
    "kill -9": ("REQUEUED", 1795830840, 1795830846, "0:9", 0, 0),
    "scancel": ("CANCELLED by 20001", 1795830840, 1795830918, "0:0", 0, 0),
    "time limit": ("TIMEOUT", 1795831260, 1795831344, "0:0", 0, 0),
    "node failed": ("NODE_FAIL", 1795831254, 1795831260, "1:0", 0, 0),
    "scontrol requeue": ("REQUEUED", 1795830840, 1795830840, "0:0", 0, 1),
    "RequeueExit=7": ("REQUEUED", 1795831255, 1795831258, "7:0", 0, 0),
}
ENDS = {
    "exit 0": "COMPLETED",
    "exit 0, second run": "COMPLETED",
    "exit 3": "FAILED",
    "kill -9": "FAILED",
    "scancel": "CANCELLED",
    "time limit": "TIMEOUT",
    "node failed": "NODE_FAIL",
    "scontrol requeue": "REQUEUED",
    "RequeueExit=7": "FAILED",
}


def row(run: str) -> Job:
    """Return the accounting row of a run."""
    state, start, end, code, _, _ = RUNS[run]
    values = {
        "Cluster": "lab",
        "JobIDRaw": "1000",
        "JobID": "1000",
        "User": "alice",
        "UID": "20001",
        "Account": "k1000",
        "Partition": "cpu",
        "State": state,
        "Submit": str(start - 2),
        "Start": str(start),
        "End": str(end),
        "AllocCPUS": "2",
        "ExitCode": code,
        "NodeList": "n2cn001",
    }
    line = SACCT_SEPARATOR.join(values.get(name, "") for name in SACCT_FIELDS.split(","))
    (found,) = parse_sacct_rows(f"{line}\n".encode())
    return found


def epilog(run: str, *, with_count: bool = True, with_start: bool = True) -> Event:
    """Return the event of a run's epilog.

    Before 22.05 it has no restart count, before 23.02 no start time.
    """
    _, start, end, code, _, restarts = RUNS[run]
    extras = {"exit_code": code} | ({"restart_count": str(restarts)} if with_count else {})
    name = event_name(EventKind.STOP, 1000, start=start if with_start else 0, end=end, pid=588)
    return Event(
        name=name,
        kind=EventKind.STOP,
        job_id=1000,
        start=start if with_start else None,
        end=end,
        time=float(end),
        extras=extras,
    )


def record(flags: tuple[str, ...]) -> Job:
    """Return the controller's record after the run: the job is pending for its next run."""
    return parse_job({**PENDING, "flags": list(flags)}, node_of=lambda _: None)


def reported(run: str, event: Event | None, *, flags: tuple[str, ...], restarts: int | None) -> str:
    """Return the end state of a run that the spool knows."""
    _, start, end, *_ = RUNS[run]
    events = () if event is None else (event,)
    tracked = TrackedRun(start_time=start, started=True, restarts=restarts)
    query = JobQuery(job_id=1000, events=events, runs=(tracked,))
    answers = SlurmAnswers(record=record(flags), rows=(row(run),))
    return resolve_job(query, answers, end + 1.0).ends[start].state


@pytest.mark.parametrize("run", RUNS)
def test_a_requeued_run_gets_its_own_end_state(run: str) -> None:
    """The restart count in the epilog, not scrontab's flag, shows whether a run was interrupted."""
    assert ENDS[run] == reported(run, epilog(run), flags=(), restarts=RUNS[run][4])


@pytest.mark.parametrize("run", RUNS)
def test_an_epilog_of_22_05_is_found_by_the_time_of_the_end(run: str) -> None:
    """The event of an epilog of Slurm 22.05 has no start time (recorded with 22.05.8)."""
    event = epilog(run, with_start=False)

    assert ENDS[run] == reported(run, event, flags=(), restarts=RUNS[run][4])


def test_a_late_epilog_without_start_time_is_ignored() -> None:
    """The event has no start time and came 300 s after the end, so it does not match the run."""
    event = replace(epilog("exit 0", with_start=False), time=RUNS["exit 0"][2] + 300.0)

    assert "REQUEUED" == reported("exit 0", event, flags=(), restarts=0)


@pytest.mark.parametrize("run", ["exit 0", "exit 3", "kill -9", "scancel"])
def test_without_an_epilog_the_flag_of_scrontab_decides(run: str) -> None:
    """Only a sweep finds the end; the flag shows that Slurm requeues the job after each run."""
    assert ENDS[run] == reported(run, None, flags=(SCRONTAB_FLAG,), restarts=0)


@pytest.mark.parametrize("restarts", [0, None])
def test_without_a_restart_count_the_flag_of_scrontab_decides(restarts: int | None) -> None:
    """Slurm 21.08 has no restart count in the epilog."""
    event = epilog("exit 0", with_count=False)

    assert "COMPLETED" == reported("exit 0", event, flags=(SCRONTAB_FLAG,), restarts=restarts)


def test_an_ordinary_requeued_run_stays_requeued() -> None:
    """Without an epilog and the flag of scrontab, no fact shows that the run ended by itself."""
    assert "REQUEUED" == reported("exit 0", None, flags=(), restarts=0)


def test_a_run_from_accounting_uses_the_restart_count_of_its_prolog() -> None:
    """The drain was down; prolog and epilog have the same count: the run was not interrupted."""
    _, start, end, *_ = RUNS["exit 0, second run"]
    name = event_name(EventKind.START, 1000, start=start, end=end, pid=587)
    prolog = Event(
        name=name,
        kind=EventKind.START,
        job_id=1000,
        start=start,
        end=end,
        time=float(start),
        extras={"restart_count": "1"},
    )
    query = JobQuery(job_id=1000, events=(prolog, epilog("exit 0, second run")))
    answers = SlurmAnswers(record=record(()), rows=(row("exit 0, second run"),))
    ((_, found),) = resolve_job(query, answers, end + 1.0).new_runs

    assert found is not None
    assert "COMPLETED" == found.state


def test_the_flag_of_scrontab_is_read_from_json() -> None:
    """A record of squeue without flags does not have the flag of scrontab."""
    assert (SCRONTAB_FLAG,) == parse_job(PENDING, node_of=lambda _: None).flags
    assert () == parse_job({**PENDING, "flags": None}, node_of=lambda _: None).flags

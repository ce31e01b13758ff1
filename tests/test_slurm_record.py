"""A whole job from `scontrol show job ID -d`: what is read, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_commands import DOWN, RecordedCommands, commands, ids_of

from slurm.decode.scontrol_job import UntrustedTextError, split_records
from slurm.decode.scontrol_record import parse_job_record, record_head
from slurm.errors import FailureReason, SlurmError
from slurm.job import SCRONTAB_FLAG, Job, Sharing
from slurm.process import CommandResult

RECORD = """\
JobId=815 JobName=gpu2x2
   UserId=alice(5001) GroupId=hpcusers(5000) MCS_label=N/A
   Priority=1000 Nice=0 Account=k1000 QOS=normal
   JobState=RUNNING Reason=None Dependency=(null)
   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0
   DerivedExitCode=0:0
   RunTime=00:00:02 TimeLimit=01:00:00 TimeMin=N/A
   SubmitTime=1795330277 EligibleTime=1795330277
   AccrueTime=1795330277
   StartTime=1795330277 EndTime=1795333878 Deadline=N/A
   SuspendTime=None SecsPreSuspend=0 LastSchedEval=1795330277 Scheduler=Main
   Partition=gpu AllocNode:Sid=ctl01:0
   ReqNodeList=(null) ExcNodeList=(null)
   NodeList=n2gpu[01-02]
   BatchHost=n2gpu01
   NumNodes=2 NumCPUs=4 NumTasks=4 CPUs/Task=1 ReqB:S:C:T=0:0:*:*
   ReqTRES=cpu=4,mem=4000M,node=2,billing=4,gres/gpu=4,gres/gpu:a100=4
   AllocTRES=cpu=4,mem=4000M,node=2,billing=4,gres/gpu=4,gres/gpu:a100=4
   Socks/Node=* NtasksPerN:B:S:C=0:0:*:* CoreSpec=*
   JOB_GRES=gpu:a100:4
     Nodes=n2gpu01 CPU_IDs=8-9 Mem=2000 GRES=gpu:a100:2(IDX:2-3)
     Nodes=n2gpu02 CPU_IDs=0-1 Mem=2000 GRES=gpu:a100:2(IDX:0-1)
   MinCPUsNode=1 MinMemoryCPU=1000M MinTmpDiskNode=0
   Features=(null) DelayBoot=00:00:00
   OverSubscribe=NO Exclusive=USER Contiguous=0 Licenses=(null) Network=(null)
   Command=/home/alice/job.sh
   WorkDir=/home/alice
   StdErr=
   StdOut=/home/alice/slurm-815.out
"""
FORGED = {
    "another job": ("JobId=815 ", "JobId=816 "),
    "no record": ("JobId=815 JobName", "JobId=815 Name"),
    "a second user": ("gpu2x2\n", "x\n   UserId=bob(5002) GroupId=x MCS_label=N/A\n"),
    "a second state": ("WorkDir=/home/alice\n", "WorkDir=x\n   JobState=FAILED Reason=None x\n"),
    "a second node list": ("WorkDir=/home/alice\n", "WorkDir=x\n   NodeList=n2gpu09\n"),
    "a name of two lines": ("gpu2x2\n", "x\ny\n"),
    "a line that is not Slurm's": ("   BatchHost", "  forged\n   BatchHost"),
    "a user without a number": ("alice(5001)", "alice"),
    "an odd node list": ("NodeList=n2gpu[01-02]", "NodeList=n2gpu[01-"),
    "a date without a zone": ("StartTime=1795330277", "StartTime=2026-11-22T06:51:17"),
}


def parsed(record: str) -> Job:
    """Return the job of a record."""
    return parse_job_record(record, 815, cluster="lab")


def test_a_scontrol_record_is_read_without_cores() -> None:
    """User, state, times, nodes, CPU and GPU counts are read; `add_job_detail` adds cores."""
    assert parsed(RECORD) == Job(
        job_id=815,
        cluster="lab",
        name="gpu2x2",
        user="alice",
        uid=5001,
        account="k1000",
        qos="normal",
        partition="gpu",
        state="RUNNING",
        submit_time=1795330277,
        start_time=1795330277,
        time_limit_minutes=60,
        nodes=("n2gpu01", "n2gpu02"),
        cpus=4,
        gpus=4,
        sharing=Sharing.USER,
        restart_count=0,
    )


@pytest.mark.parametrize("forgery", FORGED)
def test_a_possibly_forged_record_is_refused(forgery: str) -> None:
    """A second user, state or node list, for example in a job name, makes the record invalid."""
    old, new = FORGED[forgery]
    assert old in RECORD
    with pytest.raises(UntrustedTextError):
        parsed(RECORD.replace(old, new))


def test_a_pending_job_has_no_start_nodes_or_cpus() -> None:
    """The start is only expected, CPUs are only requested, and UNLIMITED is no time limit."""
    waiting = RECORD.replace("JobState=RUNNING", "JobState=PENDING").replace(
        "TimeLimit=01:00:00", "TimeLimit=UNLIMITED"
    )

    assert parsed(waiting) == replace(
        parsed(RECORD),
        state="PENDING",
        time_limit_minutes=None,
        start_time=None,
        nodes=(),
        cpus=None,
        gpus=None,
    )


def test_a_scrontab_job_has_its_flag() -> None:
    """Slurm's own line `CronJob=Yes` marks a job of scrontab."""
    cron = RECORD.replace(
        "   SuspendTime", '   CronJob=Yes CrontabSpec="* * * * *"\n   SuspendTime'
    )

    assert (SCRONTAB_FLAG,) == parsed(cron).flags


def test_a_placeholder_is_no_user_name() -> None:
    """If the name service cannot resolve the uid, Slurm prints `nobody`; the uid is kept."""
    job = parsed(RECORD.replace("alice(5001)", "nobody(5001)"))

    assert (None, 5001) == (job.user, job.uid)


def test_cpus_are_counted_without_tres() -> None:
    """NumCPUs is used if AllocTRES is missing, or if a second line claims to be the TRES."""
    without = RECORD.replace("   AllocTRES=", "   Other=")
    assert (4, None) == (parsed(without).cpus, parsed(without).gpus)
    twice = RECORD.replace("   Socks/Node", "   TRES=cpu=64,gres/gpu=8\n   Socks/Node")
    assert (4, None) == (parsed(twice).cpus, parsed(twice).gpus)


def test_sharing_is_read_only_directly_after_the_resources() -> None:
    """A user can forge a later OverSubscribe line, so such a line leaves the sharing unknown."""
    moved = RECORD.replace(
        "   OverSubscribe=NO Exclusive=USER", "   A=1\n   B=1\n   OverSubscribe=NO"
    )

    assert parsed(moved).sharing is None


def test_an_admin_comment_of_several_lines_is_read_whole() -> None:
    """The comment of administrators decides whether a job is reported, so all of it is read."""
    comments = (
        '   AdminComment=[\n      {\n        "name": "hpc-1"\n      }\n    ]\n'
        "   Comment=mine\n   AdminComment=disable_cc_submission\n"
    )
    job = parsed(RECORD.replace("   StdErr=\n", f"{comments}   StdErr=\n"))

    assert job.admin_comment is not None
    assert '"name": "hpc-1"' in job.admin_comment
    assert "disable_cc_submission" in job.admin_comment
    assert "mine" == job.comment


def test_records_of_arrays_and_het_jobs_are_distinguished() -> None:
    """Each record of scontrol begins with the ids of the job and of its array or het job."""
    text = "JobId=7 ArrayJobId=7 ArrayTaskId=2-4%2 ArrayTaskThrottle=2 JobName=a\n   X=1\n\n"
    text += "JobId=8 ArrayJobId=7 ArrayTaskId=1 JobName=a\n   X=1\n\nJobId=9 HetJobId=9 "
    text += "HetJobOffset=0 JobName=h\n\n"
    heads = [record_head(record) for record in split_records(text)]

    assert [
        Job(job_id=7, array_job_id=7, name="a"),
        Job(job_id=8, array_job_id=7, array_task_id=1, name="a"),
        Job(job_id=9, het_job_id=9, het_job_offset=0, name="h"),
    ] == heads


# Results of the look-up


def by_scontrol(recorded: RecordedCommands, text: str, job_id: int) -> Job | SlurmError:
    """Return one job where squeue fails and scontrol prints the given text."""
    recorded.answers |= {
        "squeue --local": CommandResult((), 1, b"", b"squeue: error: x\n"),
        "show job": CommandResult((), 0, text.encode(), b""),
    }
    return recorded.slurm().jobs([job_id])[job_id]


def recorded_text(recorded: RecordedCommands, job_id: int) -> str:
    """Return what scontrol has printed about a job."""
    argv = ["/opt/slurm/bin/scontrol", "show", "job", str(job_id), "-d"]
    environment = {"PATH": "", "LC_ALL": "", "SLURM_JSON": "", "TZ": "", "SLURM_TIME_FORMAT": ""}
    return recorded(argv, environment=environment, timeout_seconds=1, limit_bytes=1).stdout.decode()


@pytest.mark.parametrize("words", ["Nodes=n2gpu", "JOB_GRES="])
def test_a_running_job_with_broken_resources_is_refused(words: str) -> None:
    """If `Nodes=` or `JOB_GRES=` is unreadable, only the hosts would reach cc-backend."""
    recorded = commands("24.11")
    job_id = ids_of(recorded)[1]
    text = recorded_text(recorded, job_id).replace(words, f"x{words}", 1)

    found = by_scontrol(recorded, text, job_id)
    assert isinstance(found, SlurmError)
    assert FailureReason.MALFORMED is found.reason


def test_an_ended_job_without_resources_has_its_hosts() -> None:
    """After the end the controller no longer shows cores and GPUs; the hosts are kept."""
    recorded = commands("24.11")
    job_id = ids_of(recorded)[1]
    text = recorded_text(recorded, job_id).replace("JobState=RUNNING", "JobState=COMPLETED")
    found = by_scontrol(recorded, text.replace("JOB_GRES=", "x="), job_id)

    assert isinstance(found, Job)
    assert [("n2gpu01", None), ("n2gpu02", None)] == [(n.name, n.cores) for n in found.allocations]


@pytest.mark.parametrize("copies", [0, 2])
def test_an_answer_without_the_job_or_with_it_twice_is_refused(copies: int) -> None:
    """The answer of scontrol also has the record of another job."""
    recorded = commands("24.11")
    other, job_id = ids_of(recorded)
    text = recorded_text(recorded, other) + copies * recorded_text(recorded, job_id)

    assert isinstance(by_scontrol(recorded, text, job_id), SlurmError)


def test_a_running_job_beside_another_record_is_refused() -> None:
    """Only one job was queried with scontrol: the other record may be forged."""
    recorded = commands("24.11")
    other, job_id = ids_of(recorded)
    text = recorded_text(recorded, other) + recorded_text(recorded, job_id)

    assert isinstance(by_scontrol(recorded, text, job_id), SlurmError)


def test_the_last_task_of_an_array_is_queried_by_its_task_id() -> None:
    """The last task has the id of the array, for which scontrol would print all tasks."""
    recorded = commands("24.11", "array-running-pending", "ended")
    array = ids_of(recorded)[0]
    recorded.answers["squeue --local"] = DOWN
    found = recorded.slurm().jobs([array])

    assert isinstance(found[array], Job)
    assert f"scontrol show job {array}_6 -d --local" in recorded.asked

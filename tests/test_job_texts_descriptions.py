"""Descriptions of jobs, by scontrol or rendered from a record."""

from __future__ import annotations

from datetime import datetime

from job_text_commands import CROWD, JOB, Commands, read, texts

from slurm.errors import FailureReason
from slurm.job import Gres, Job, NodeAllocation, Sharing
from spool.resolve.job_texts import Texts
from spool.resolve.render_description import render_description


def local(time: int) -> str:
    """Return a time as local time in Slurm's format."""
    return datetime.fromtimestamp(time).astimezone().isoformat()[:19]


def test_few_jobs_are_described_by_slurm() -> None:
    """For one job the description is the text of `scontrol show job`."""
    commands = Commands()

    assert "JobId=815" == read(texts(commands), commands, JOB)[0].description


def test_many_jobs_are_described_without_commands() -> None:
    """For 9 jobs at once the descriptions are rendered from the job records."""
    commands = Commands()
    found = read(texts(commands, with_script=False), commands, *CROWD)

    assert [] == commands.asked
    assert (render_description(CROWD[0]), True) == (found[0].description, found[0].is_final)


def test_a_description_that_slurm_does_not_give_is_rendered() -> None:
    """After a timeout the job records are used; jobs not queried wait for a later call."""
    commands = Commands(problem=FailureReason.TIMEOUT)
    reader = texts(commands, with_script=False)
    found = read(reader, commands, JOB, CROWD[0])

    assert [render_description(JOB), render_description(CROWD[0])] == [
        each.description for each in found
    ]
    assert [True, False] == [each.is_final for each in found]


def test_a_job_that_slurm_purged_is_described_by_its_record() -> None:
    """The rendered description is final: Slurm has none of a purged job."""

    class Forgetful(Commands):
        def description(self, job_id: int, *, timeout_seconds: float | None = None) -> None:
            assert (job_id, timeout_seconds) == (815, 3.0)

    commands = Forgetful()
    (found,) = read(texts(commands, with_script=False), commands, JOB)

    assert (render_description(JOB), True) == (found.description, found.is_final)


def test_disabled_scripts_and_descriptions_are_not_read() -> None:
    """A site can disable both; no Slurm command is run for them."""
    commands = Commands()
    reader = texts(commands, with_script=False, with_description=False)

    assert ([Texts()], []) == (read(reader, commands, JOB), commands.asked)


def test_a_rendered_description_has_the_layout_of_scontrol() -> None:
    """Field order, names and line breaks are those of `scontrol show job`."""
    job = Job(
        job_id=4201001,
        array_job_id=4201000,
        array_task_id=1,
        name="gpu2x2",
        user="alice",
        uid=5001,
        account="k1000",
        qos="normal",
        state="RUNNING",
        restart_count=0,
        time_limit_minutes=1500,
        submit_time=1795330277,
        start_time=1795330278,
        partition="gpu",
        nodes=("n2gpu01", "n2gpu02"),
        cpus=4,
        allocations=(
            NodeAllocation(
                name="n2gpu01",
                cores=(0, 1, 2, 5),
                gres=(Gres(name="gpu", type="a100", count=2, indices=(2, 3)),),
            ),
            NodeAllocation(name="n2gpu02", gres=(Gres(name="gpu", type="a100", count=1),)),
            NodeAllocation(name="n2gpu03"),
            NodeAllocation(name="n2gpu04", gres=(Gres(name="fpga", count=1),)),
        ),
        requested_memory="1000Mc",
        constraints="icelake",
        sharing=Sharing.SHARED,
        comment="mine",
    )

    assert render_description(job) == (
        "JobId=4201001 ArrayJobId=4201000 ArrayTaskId=1 JobName=gpu2x2\n"
        "   UserId=alice(5001)\n"
        "   Account=k1000 QOS=normal\n"
        "   JobState=RUNNING\n"
        "   Restarts=0\n"
        "   TimeLimit=1-01:00:00\n"
        f"   SubmitTime={local(1795330277)}\n"
        f"   StartTime={local(1795330278)}\n"
        "   Partition=gpu\n"
        "   NodeList=n2gpu01,n2gpu02\n"
        "   NumNodes=2 NumCPUs=4\n"
        "   JOB_GRES=gpu:a100:3,fpga:1\n"
        "     Nodes=n2gpu01 Cores=0-2,5 GRES=gpu:a100:2(IDX:2-3)\n"
        "     Nodes=n2gpu02 GRES=gpu:a100:1\n"
        "     Nodes=n2gpu04 GRES=fpga:1\n"
        "   MinMemoryCPU=1000M\n"
        "   Features=icelake\n"
        "   OverSubscribe=OK\n"
        "   Comment=mine\n"
    )


def test_a_rendered_description_omits_unknown_fields() -> None:
    """A field that the job record lacks, such as the account, has no line."""
    job = Job(
        job_id=7,
        uid=0,
        flags=("COMPLETING",),
        het_job_id=6,
        het_job_offset=1,
        requested_memory="64000M",
        time_limit_minutes=90,
    )

    assert render_description(job) == (
        "JobId=7 HetJobId=6 HetJobOffset=1\n"
        "   UserId=(0)\n"
        "   JobState=COMPLETING\n"
        "   TimeLimit=01:30:00\n"
        "   MinMemoryNode=64000M\n"
    )
    assert "JobId=8\n" == render_description(Job(job_id=8))
    assert "   UserId=ada()\n" in render_description(Job(job_id=8, user="ada"))

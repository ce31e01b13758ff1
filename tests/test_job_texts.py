"""Reading script, description and user name of jobs within a limit of time."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from slurm.errors import FailureReason, SlurmError
from slurm.job import Gres, Job, NodeAllocation, Sharing
from spool.resolve.job_texts import (
    ASIDE_SECONDS,
    COMMAND_SECONDS,
    DENIED_SECONDS,
    MAX_DESCRIBED_JOBS,
    MAX_SCRIPT_LIMIT_BYTES,
    MIN_SCRIPT_LIMIT_BYTES,
    JobTexts,
    Texts,
    TextSettings,
    TextsQuery,
    TextsReply,
)
from spool.resolve.render_description import render_description

JOB = Job(job_id=815, user="ada", uid=1000, nodes=("n1", "n2"), state="RUNNING", start_time=5)
KEY = (815, 5)
CROWD = [Job(job_id=i, nodes=("n1",), start_time=9) for i in range(1, MAX_DESCRIBED_JOBS + 2)]
ARRAY = [Job(job_id=812 + i, array_job_id=812, array_task_id=i, start_time=9) for i in range(5000)]


@dataclass
class Commands:
    """Slurm's commands that print texts; each takes `seconds`, at most what it may."""

    problem: FailureReason | None = None
    seconds: float = 0.01
    location: Path | None = None
    time: float = 100.0
    asked: list[str] = field(default_factory=list)
    text: str | None = "#!/bin/sh\n"

    def script(self, job_id: int, *, timeout_seconds: float | None = None) -> str | None:
        """Return a script."""
        self._run(f"script {job_id}", timeout_seconds)
        return self.text

    def description(self, job_id: int, *, timeout_seconds: float | None = None) -> str | None:
        """Return a description."""
        self._run(f"description {job_id}", timeout_seconds)
        return f"JobId={job_id}"

    def config(self, *, timeout_seconds: float | None = None) -> Mapping[str, tuple[str, ...]]:
        """Return where scripts lie."""
        self._run("config", timeout_seconds)
        return {} if self.location is None else {"StateSaveLocation": (str(self.location),)}

    def clock(self) -> float:
        """Return the time that all commands took."""
        return self.time

    def count(self, what: str) -> int:
        """Return how often something was asked for."""
        return len([line for line in self.asked if line.startswith(what)])

    def _run(self, what: str, timeout_seconds: float | None) -> None:
        assert timeout_seconds is not None
        self.asked.append(what)
        self.time += min(self.seconds, timeout_seconds)
        if self.seconds > timeout_seconds:
            raise SlurmError("no end", reason=FailureReason.TIMEOUT)
        if self.problem is not None:
            raise SlurmError("no", reason=self.problem)


def texts(commands: Commands, **settings: object) -> JobTexts:
    """Return a reader; scripts are looked for by commands unless a place is given."""
    return JobTexts(commands, TextSettings(**settings))  # type: ignore[arg-type]


def read(reader: JobTexts, commands: Commands, *jobs: Job, budget: float = 3.0) -> list[Texts]:
    """Return the texts of jobs, in their order."""
    found = reader.read(jobs, budget_seconds=budget, clock=commands.clock)
    return [found[job.job_id, job.start_time] for job in jobs]


def store(place: Path, owner: int, text: bytes) -> Path:
    """Write a script as slurmctld does."""
    path = place / f"hash.{owner % 10}" / f"job.{owner}" / "script"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return path


# scripts from files


def test_a_script_is_read_from_the_state_save_location(tmp_path: Path) -> None:
    """Without the NUL byte that slurmctld ends it with, and without a command."""
    store(tmp_path, 815, b"#!/bin/sh\ntrue\n\0")
    commands = Commands()
    (found,) = read(texts(commands, state_save_location=tmp_path), commands, JOB)

    assert Texts(script="#!/bin/sh\ntrue\n", description="JobId=815") == found
    assert ["description 815"] == commands.asked


def test_the_place_is_asked_of_slurm_once(tmp_path: Path) -> None:
    """When the first text is wanted."""
    store(tmp_path, 815, b"script\0")
    commands = Commands(location=tmp_path)
    reader = texts(commands)
    found = [read(reader, commands, JOB)[0].script for _ in range(2)]

    assert ["script", "script"] == found
    assert (1, 0) == (commands.count("config"), commands.count("script"))


def test_a_place_that_slurm_does_not_tell_is_not_asked_for_each_time(tmp_path: Path) -> None:
    """After a while it is asked for again."""
    store(tmp_path, 815, b"script\0")
    commands = Commands(location=tmp_path, problem=FailureReason.UNREACHABLE)
    reader = texts(commands, with_description=False)
    read(reader, commands, JOB)
    read(reader, commands, JOB)
    asked = commands.count("config")
    commands.problem = None
    commands.time += ASIDE_SECONDS
    (found,) = read(reader, commands, JOB)

    assert (1, "script", True) == (asked, found.script, found.is_final)


def test_a_configuration_without_the_place_leaves_it_to_commands() -> None:
    """As does one that is closed to us."""
    commands = Commands()

    assert "#!/bin/sh\n" == read(texts(commands), commands, JOB)[0].script


def test_tasks_of_an_array_share_one_script(tmp_path: Path) -> None:
    """It lies under the array's id, and is read once for all 5 000 of them."""
    store(tmp_path, 812, b"array\0")
    commands = Commands()
    found = read(texts(commands, state_save_location=tmp_path), commands, *ARRAY)

    assert {("array", True)} == {(each.script, each.is_final) for each in found}
    assert [] == commands.asked


def test_a_job_without_a_script_has_none(tmp_path: Path) -> None:
    """An interactive job: its place can be looked at and is empty."""
    (tmp_path / "hash.5").mkdir()
    commands = Commands()
    (found,) = read(texts(commands, state_save_location=tmp_path), commands, JOB)

    assert (None, True, 0) == (found.script, found.is_final, commands.count("script"))


@pytest.mark.parametrize("kind", ["missing", "link", "directory"])
def test_where_the_file_cannot_be_read_slurm_is_asked(tmp_path: Path, kind: str) -> None:
    """Most sites keep that directory to SlurmUser; what is no file there is not followed."""
    if kind != "missing":
        path = store(tmp_path, 815, b"")
        path.unlink()
        path.symlink_to("/etc/passwd") if kind == "link" else path.mkdir()
    commands = Commands()

    found = read(texts(commands, state_save_location=tmp_path), commands, JOB)
    assert "#!/bin/sh\n" == found[0].script


@pytest.mark.parametrize(
    ("wanted", "limit"),
    [(64_000, MIN_SCRIPT_LIMIT_BYTES), (1_000_000, 1_000_000), (1 << 30, MAX_SCRIPT_LIMIT_BYTES)],
)
def test_as_much_is_read_as_the_configuration_wants(
    tmp_path: Path, wanted: int, limit: int
) -> None:
    """At least 256 KiB, at most 4 MiB; the size of the whole is kept."""
    size = 5_000_000
    store(tmp_path, 815, b"x" * size + b"\0")
    commands = Commands()
    settings = {"state_save_location": tmp_path, "script_limit_bytes": wanted}
    (found,) = read(texts(commands, **settings), commands, JOB)

    assert found.script is not None
    assert (limit, size) == (len(found.script), found.script_bytes_total)


def test_a_script_of_exactly_the_limit_is_whole(tmp_path: Path) -> None:
    """The NUL behind it does not count."""
    store(tmp_path, 815, b"x" * MIN_SCRIPT_LIMIT_BYTES + b"\0")
    commands = Commands()
    (found,) = read(texts(commands, state_save_location=tmp_path), commands, JOB)

    assert (MIN_SCRIPT_LIMIT_BYTES, None) == (len(found.script or ""), found.script_bytes_total)


def test_no_character_is_cut_in_half(tmp_path: Path) -> None:
    """The limit falls between the two bytes of the last one."""
    text = "x" * (MIN_SCRIPT_LIMIT_BYTES - 1) + "äää"
    store(tmp_path, 815, text.encode() + b"\0")
    commands = Commands()
    (found,) = read(texts(commands, state_save_location=tmp_path), commands, JOB)

    assert text[:-3] == found.script
    assert len(text.encode()) == found.script_bytes_total


def test_a_long_script_by_command_is_cut_alike() -> None:
    """What Slurm prints is whole."""
    commands = Commands(text="x" * 300_000)
    (found,) = read(texts(commands), commands, JOB)

    assert (MIN_SCRIPT_LIMIT_BYTES, 300_000) == (len(found.script or ""), found.script_bytes_total)


# scripts by command


def test_an_array_is_asked_for_once() -> None:
    """By the id of a task that is known to run, which the array's own id may not be."""
    commands = Commands()
    found = read(texts(commands), commands, *ARRAY)

    assert {"#!/bin/sh\n"} == {each.script for each in found}
    assert [f"script {ARRAY[-1].job_id}"] == [
        line for line in commands.asked if line.startswith("script")
    ]


def test_a_job_of_which_slurm_has_no_script_is_final() -> None:
    """An interactive one."""
    commands = Commands(text=None)

    assert (None, True) == _script(read(texts(commands), commands, JOB)[0])


def test_what_there_is_no_time_for_may_be_asked_for_again() -> None:
    """The budget holds for all jobs together; the next call gets the rest."""
    commands = Commands(seconds=1.0)
    reader = texts(commands, with_description=False)
    began = commands.time
    first = read(reader, commands, *CROWD)
    took = commands.time - began
    done = [each.is_final for each in first]
    second = read(reader, commands, CROWD[-1])

    assert took <= 3.0
    assert [True, True, *[False] * (len(CROWD) - 2)] == done
    assert ("#!/bin/sh\n", True) == _script(second[0])


def test_a_hanging_command_costs_its_time_once() -> None:
    """It is not asked for each job; after a minute it is tried again."""
    commands = Commands(seconds=600.0)
    reader = texts(commands, with_description=False, state_save_location=Path("/none"))
    began = commands.time
    found = read(reader, commands, *CROWD, budget=60.0)
    took = commands.time - began
    read(reader, commands, *CROWD, budget=60.0)
    asked = commands.count("script")
    commands.time += ASIDE_SECONDS
    read(reader, commands, JOB, budget=60.0)

    assert (COMMAND_SECONDS, 1, 2) == (took, asked, commands.count("script"))
    assert {(None, False)} == {_script(each) for each in found}


def test_a_hanging_configuration_leaves_time_for_the_rest() -> None:
    """It is an optional question."""
    commands = Commands(seconds=600.0)
    reader = texts(commands)
    (found,) = read(reader, commands, JOB, budget=60.0)

    assert 100.0 + 3 * COMMAND_SECONDS == commands.time
    assert (render_description(JOB), False) == (found.description, found.is_final)


def test_one_failure_concerns_one_job(caplog: pytest.LogCaptureFixture) -> None:
    """A script that Slurm cannot give is no reason to leave the others out."""
    commands = Commands(problem=FailureReason.FAILED)
    found = read(texts(commands, with_description=False), commands, *CROWD)

    assert len(CROWD) == commands.count("script")
    assert {(None, False)} == {_script(each) for each in found}
    assert "job=1 script cannot be read" in caplog.text


def test_a_denied_script_is_asked_for_again_after_ten_minutes() -> None:
    """Until then nobody waits for one: an administrator has to give the right."""
    commands = Commands(problem=FailureReason.DENIED)
    reader = texts(commands, with_description=False)
    denied = [*read(reader, commands, JOB), *read(reader, commands, JOB)]
    asked = commands.count("script")
    commands.problem = None
    commands.time += DENIED_SECONDS
    (found,) = read(reader, commands, JOB)

    assert [(None, True)] * 2 == [_script(each) for each in denied]
    assert (1, "#!/bin/sh\n") == (asked, found.script)


def test_without_time_no_command_is_run() -> None:
    """All there is comes from the record."""
    commands = Commands()
    (found,) = read(texts(commands), commands, JOB, budget=0.0)

    assert ([], render_description(JOB)) == (commands.asked, found.description)
    assert not found.is_final


def local(time: int) -> str:
    """Return an instant as this host's users write it."""
    return datetime.fromtimestamp(time).astimezone().isoformat()[:19]


def _script(found: Texts) -> tuple[str | None, bool]:
    return found.script, found.is_final


# descriptions


def test_few_jobs_are_described_by_slurm() -> None:
    """In its own words."""
    commands = Commands()

    assert "JobId=815" == read(texts(commands), commands, JOB)[0].description


def test_a_crowd_is_described_without_commands() -> None:
    """From the records."""
    commands = Commands()
    found = read(texts(commands, with_script=False), commands, *CROWD)

    assert [] == commands.asked
    assert (render_description(CROWD[0]), True) == (found[0].description, found[0].is_final)


def test_a_description_that_slurm_does_not_give_is_rendered() -> None:
    """Once asked for it is settled, after a timeout the next ones wait for a later call."""
    commands = Commands(problem=FailureReason.TIMEOUT)
    reader = texts(commands, with_script=False)
    found = read(reader, commands, JOB, CROWD[0])

    assert [render_description(JOB), render_description(CROWD[0])] == [
        each.description for each in found
    ]
    assert [True, False] == [each.is_final for each in found]


def test_a_job_that_slurm_has_forgotten_is_described_by_its_record() -> None:
    """There will be nothing else."""

    class Forgetful(Commands):
        def description(self, job_id: int, *, timeout_seconds: float | None = None) -> None:
            assert (job_id, timeout_seconds) == (815, 3.0)

    commands = Forgetful()
    (found,) = read(texts(commands, with_script=False), commands, JOB)

    assert (render_description(JOB), True) == (found.description, found.is_final)


def test_texts_that_are_not_wanted_are_not_read() -> None:
    """A site may switch them off."""
    commands = Commands()
    reader = texts(commands, with_script=False, with_description=False)

    assert ([Texts()], []) == (read(reader, commands, JOB), commands.asked)


def test_a_rendered_description_has_the_layout_of_scontrol() -> None:
    """Order, names and line breaks are those that people know."""
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


def test_a_rendered_description_names_what_is_known() -> None:
    """And nothing else."""
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


# users


def test_users_are_named_by_the_name_service() -> None:
    """One that it does not know has no name."""
    commands = Commands()
    own = pwd.getpwuid(os.getuid())

    found = texts(commands).resolve_users([own.pw_uid, own.pw_uid, 1 << 40, 3_999_999_999])
    assert {own.pw_uid: own.pw_name, 1 << 40: None, 3_999_999_999: None} == found


@pytest.mark.parametrize("name", ["nobody", "Nobody", "nfsnobody", "", "unknown", "20001"])
def test_a_placeholder_is_no_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Services print it for users that they cannot name at the moment."""
    entry = pwd.struct_passwd((name, "x", 20001, 20001, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: entry)

    assert {20001: None} == texts(Commands()).resolve_users([20001])


def test_a_question_of_the_drain_is_answered_with_texts_and_names(tmp_path: Path) -> None:
    """In one answer."""
    commands = Commands(location=tmp_path)
    reply = texts(commands).ask(TextsQuery(jobs=(JOB,), uids=frozenset({0})))

    assert ({0: "root"}, "JobId=815") == (reply.users, reply.texts[KEY].description)


def test_an_error_of_our_own_ends_no_worker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the jobs go without texts."""

    def fail(*_: object, **__: object) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(JobTexts, "read", fail)

    assert TextsReply() == texts(Commands()).ask(TextsQuery(jobs=(JOB, JOB)))
    expected = ["texts of 2 jobs were not read, internal error: KeyError('odd')"]
    assert expected == [record.message for record in caplog.records]

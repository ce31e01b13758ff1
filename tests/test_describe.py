"""Reading the script and the description of jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from spool.resolve.describe import MAX_COMMAND_JOBS, SlurmDescriber, render_description

JOB = Job(job_id=815, user="ada", nodes=("n1", "n2"), state="RUNNING", start_time=5)


@dataclass
class Texts:
    """Slurm's commands that print texts."""

    problem: FailureReason | None = None
    asked: list[str] = field(default_factory=list)

    def script(self, job_id: int) -> str | None:
        """Return a script."""
        return self._text("script", job_id)

    def description(self, job_id: int) -> str | None:
        """Return a description."""
        return self._text("description", job_id)

    def _text(self, what: str, job_id: int) -> str:
        self.asked.append(what)
        if self.problem is not None:
            raise SlurmError("no", reason=self.problem)
        return f"{what} of {job_id}"


def describer(texts: Texts, place: Path | None = None) -> SlurmDescriber:
    """Return a describer that reads both."""
    return SlurmDescriber(
        slurm=texts, state_save_location=place, with_script=True, with_description=True
    )


def store(place: Path, owner: int, text: bytes) -> Path:
    """Write a script as slurmctld does."""
    path = place / f"hash.{owner % 10}" / f"job.{owner}" / "script"
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    return path


def test_few_jobs_are_asked_of_slurm() -> None:
    """By one command for each text."""
    assert {815: ("script of 815", "description of 815")} == describer(Texts())([JOB])


def test_many_jobs_start_no_process() -> None:
    """The description is rendered from known fields instead."""
    texts = Texts()
    jobs = [Job(job_id=i, nodes=("n1",)) for i in range(1, MAX_COMMAND_JOBS + 2)]

    found = describer(texts)(jobs)

    assert ([], (None, "job_id=1\nnodes=n1\n")) == (texts.asked, found[1])


def test_a_script_is_read_from_the_state_save_location(tmp_path: Path) -> None:
    """Without the NUL byte that slurmctld ends it with."""
    store(tmp_path, 815, b"#!/bin/sh\ntrue\n\0")
    texts = Texts()

    assert "#!/bin/sh\ntrue\n" == describer(texts, tmp_path)([JOB])[815][0]
    assert ["description"] == texts.asked


def test_the_script_of_an_array_task_lies_under_the_array(tmp_path: Path) -> None:
    """All tasks share it."""
    store(tmp_path, 812, b"array\0")
    job = Job(job_id=815, array_job_id=812, array_task_id=3)

    assert "array" == describer(Texts(), tmp_path)([job])[815][0]


def test_a_job_without_a_script_has_none(tmp_path: Path) -> None:
    """An interactive job: its place can be looked at and is empty."""
    (tmp_path / "hash.5").mkdir()

    assert describer(Texts(), tmp_path)([JOB])[815][0] is None


def test_without_a_look_at_the_files_slurm_is_asked(tmp_path: Path) -> None:
    """Most sites keep that directory to SlurmUser."""
    assert "script of 815" == describer(Texts(), tmp_path)([JOB])[815][0]


def test_a_link_in_place_of_the_script_is_not_followed(tmp_path: Path) -> None:
    """Nobody reads another file through it."""
    path = store(tmp_path, 815, b"")
    path.unlink()
    path.symlink_to("/etc/passwd")

    assert "script of 815" == describer(Texts(), tmp_path)([JOB])[815][0]


def test_a_directory_in_place_of_the_script_is_not_read(tmp_path: Path) -> None:
    """Reading fails, and Slurm is asked."""
    (tmp_path / "hash.5" / "job.815" / "script").mkdir(parents=True)

    assert "script of 815" == describer(Texts(), tmp_path)([JOB])[815][0]


def test_a_denied_script_is_asked_once(caplog: pytest.LogCaptureFixture) -> None:
    """Without the right there is no use in asking for each job."""
    texts = Texts(FailureReason.DENIED)
    read = describer(texts)
    read([JOB])
    read([JOB])

    assert 1 == texts.asked.count("script")
    assert "script is not readable" in caplog.text


def test_a_silent_slurm_costs_the_texts_alone() -> None:
    """The job is reported without script, its description rendered."""
    assert (None, render_description(JOB)) == describer(Texts(FailureReason.TIMEOUT))([JOB])[815]


def test_texts_that_are_not_wanted_are_not_read() -> None:
    """A site may switch them off."""
    texts = Texts()
    read = SlurmDescriber(
        slurm=texts, state_save_location=None, with_script=False, with_description=False
    )

    assert ({815: (None, None)}, []) == (read([JOB]), texts.asked)


def test_a_rendered_description_names_what_is_known() -> None:
    """One field a line, nodes in order."""
    assert "job_id=815\nuser=ada\nstate=RUNNING\nstart_time=5\nnodes=n1,n2\n" == render_description(
        JOB
    )

"""Look-ups where JSON is missing, truncated or invalid, or text is suspect."""

from __future__ import annotations

import pytest
from recorded_commands import DOWN, NO_JSON, UNKNOWN, commands, described, expected, ids_of, job_of
from recorded_slurm import SERIES

from slurm.errors import SlurmError
from slurm.job import Job
from slurm.process import CommandResult

TEXT = ("21.08", "22.05")


@pytest.mark.parametrize("series", [s for s in SERIES if s not in TEXT])
def test_text_is_used_where_json_is_missing(series: str, caplog: pytest.LogCaptureFixture) -> None:
    """Without the JSON plugin text has the same jobs; JSON is not requested again."""
    recorded = commands(series)
    recorded.answers["--json"] = NO_JSON
    slurm = recorded.slurm()
    found = slurm.jobs(ids_of(recorded))

    assert expected(recorded) == [described(found[job_id]) for job_id in ids_of(recorded)]
    assert "squeue's JSON cannot be read" in caplog.text
    recorded.asked.clear()
    slurm.jobs(ids_of(recorded))
    assert not [line for line in recorded.asked if "--json" in line]


@pytest.mark.parametrize("stdout", [b"", b'{"jobs": [', b"[]", b"{}", b'{"jobs": 1}'])
def test_text_is_used_where_json_is_truncated_or_invalid(stdout: bytes) -> None:
    """After an incomplete or invalid answer JSON is requested again only after ten minutes."""
    recorded = commands("24.11")
    recorded.answers["--json"] = CommandResult((), 0, stdout, b"")
    slurm = recorded.slurm()
    found = slurm.jobs(ids_of(recorded))

    assert expected(recorded) == [described(found[job_id]) for job_id in ids_of(recorded)]
    recorded.answers.clear()
    recorded.asked.clear()
    slurm.jobs(ids_of(recorded))
    assert not [line for line in recorded.asked if "--json" in line]
    recorded.time += 601
    recorded.asked.clear()
    slurm.jobs(ids_of(recorded))
    assert not [line for line in recorded.asked if "scontrol" in line]


def test_text_is_used_for_a_json_record_that_cannot_be_read() -> None:
    """One unreadable record does not affect the others; only its job is read from text."""
    recorded = commands("24.11")
    good, odd = ids_of(recorded)
    document = recorded.situation.files["squeue.json"]
    broken = document.replace(b'"job_state"', b'"job_stat_"', 1)
    assert broken != document
    recorded.answers["--json"] = CommandResult((), 0, broken, b"")
    found = recorded.slurm().jobs([good, odd])

    assert expected(recorded) == [described(found[job_id]) for job_id in (good, odd)]
    assert 1 == len([line for line in recorded.asked if "scontrol show job" in line])


@pytest.mark.parametrize("series", TEXT)
def test_suspect_text_is_replaced_by_json(series: str) -> None:
    """A job name with a line break makes scontrol's text suspect, so JSON is used instead."""
    recorded = commands(series, "special-chars")
    (job_id,) = ids_of(recorded)
    slurm = recorded.slurm()
    job = job_of(slurm, job_id)

    assert job.name is not None
    assert "\n" in job.name
    assert [(0,)] == [node.cores for node in job.allocations]


@pytest.mark.parametrize("answer", [NO_JSON, DOWN, CommandResult((), 0, b"{", b"")], ids=str)
def test_suspect_job_without_json_has_only_its_hosts(
    answer: CommandResult, caplog: pytest.LogCaptureFixture
) -> None:
    """Cores and GRES in suspect text may be forged: they are not reported, and the log says so."""
    recorded = commands("22.05", "special-chars")
    recorded.answers["--json"] = answer
    (job_id,) = ids_of(recorded)
    slurm = recorded.slurm()
    job = job_of(slurm, job_id)
    again = job_of(slurm, job_id)

    assert ("n2cn001",) == job.nodes
    assert [(None, None)] == [(node.cores, node.gres) for node in job.allocations]
    assert job == again
    assert f"job={job_id} is reported without cores and GRES" in caplog.text


def test_the_comment_is_read_even_from_suspect_text() -> None:
    """The comment can exclude the job, and only the job's own user could have forged it."""
    recorded = commands("22.05", "special-chars")
    recorded.answers["--json"] = NO_JSON
    (job_id,) = ids_of(recorded)
    comment = job_of(recorded.slurm(), job_id).comment

    assert comment is not None
    assert comment.startswith("c1|c2")


def test_suspect_text_with_another_job_id_gives_no_comment() -> None:
    """A wrapper, or the id of an array, can make scontrol print the record of another job."""
    recorded = commands("22.05", "special-chars")
    recorded.answers["--json"] = NO_JSON
    (job_id,) = ids_of(recorded)
    text = recorded.situation.files["scontrol.txt"].replace(b"JobId=%d" % job_id, b"JobId=77")
    recorded.answers["show job"] = CommandResult((), 0, text, b"")

    assert job_of(recorded.slurm(), job_id).comment is None


def test_a_job_purged_between_two_calls_keeps_its_facts() -> None:
    """The facts of squeue are used if scontrol no longer knows the job."""
    recorded = commands("22.05")
    recorded.answers["show job"] = UNKNOWN
    recorded.answers["--json"] = NO_JSON
    job = job_of(recorded.slurm(), ids_of(recorded)[0])

    assert "RUNNING" == job.state
    assert [None] == [node.cores for node in job.allocations]


def test_json_with_errors_is_replaced_by_text() -> None:
    """Errors in JSON make it invalid even with exit status 0 (21.08, 22.05), so text is used."""
    recorded = commands("22.05", "special-chars")
    document = b'{"meta": {}, "errors": [{"error_code": 2}], "jobs": []}'
    recorded.answers["--json"] = CommandResult((), 0, document, b"")
    job = job_of(recorded.slurm(), *ids_of(recorded))
    assert [None] == [node.cores for node in job.allocations]

    other = commands("24.11")
    other.answers["--json"] = CommandResult((), 0, document, b"")
    slurm = other.slurm()
    assert expected(other) == [described(job) for job in slurm.jobs(ids_of(other)).values()]
    assert "Slurm reports errors in its JSON output" in slurm.warnings()[0]


def test_a_job_that_cannot_be_read_does_not_affect_others() -> None:
    """A job readable neither as JSON nor as text gives a SlurmError; the other job is read."""
    recorded = commands("24.11")
    good, odd = ids_of(recorded)
    document = recorded.situation.files["squeue.json"].replace(b'"job_state"', b'"job_stat_"', 1)
    recorded.answers["--json"] = CommandResult((), 0, document, b"")
    recorded.answers[" -O "] = CommandResult((), 0, b"", b"")
    recorded.answers["show job"] = CommandResult((), 0, b"of no job\n", b"")
    found = recorded.slurm().jobs([good, odd])
    broken = good if isinstance(found[good], SlurmError) else odd

    assert 1 == len([job for job in found.values() if isinstance(job, Job)])
    assert isinstance(recorded.slurm().jobs([broken])[broken], SlurmError)

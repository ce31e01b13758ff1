"""An unknown later Slurm works, or the log shows what is not understood; nothing is stopped."""

from __future__ import annotations

import copy
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from recorded_accounting import AccountingStream
from recorded_commands import commands, described, expected, ids_of, job_of
from recorded_slurm import SERIES, Situation, json_records, node_of, sacct_runs

from slurm.decode.json_stream import RecordStream
from slurm.decode.scontrol_job import add_job_detail
from slurm.decode.squeue_json import parse_job
from slurm.errors import SlurmError
from slurm.job import Job, Sharing
from slurm.process import CommandResult
from slurm.release import Release
from spool.resolve.slurm_runs import RunStage, run_stage

ODD: tuple[object, ...] = (None, [], {}, "odd", -5, True, [[[]]], {"set": True})
JSON_SERIES = ("21.08", "22.05", "23.02", "24.05", "26.05")


def record(series: str) -> dict[str, Any]:
    """Return the JSON record of a running GPU job."""
    return json_records(Situation(series, "gpu-two-nodes").files["squeue.json"])[1]


def job(document: dict[str, Any]) -> Job:
    """Return the job of a record."""
    return parse_job(document, node_of=node_of)


def job_or_error(document: dict[str, Any]) -> Job | ValueError:
    """Return the job of a record, or why it cannot be read: either may be right."""
    try:
        return job(document)
    except ValueError as error:
        return error


def with_more(value: object) -> object:
    """Return a JSON value with an unknown field in every object of it."""
    if isinstance(value, dict):
        more = {name: with_more(item) for name, item in value.items()}
        is_keyed_by_number = any(name.isdigit() for name in more)
        return more if is_keyed_by_number else {"a new field": {"x": [1]}, **more}
    return [with_more(item) for item in value] if isinstance(value, list) else value


def paths(value: object, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every field in a JSON value."""
    items = value.items() if isinstance(value, dict) else ()
    for name, item in items:
        yield (*here, name)
        yield from paths(item, (*here, name))
    if isinstance(value, list) and value:
        yield from paths(value[0], (*here, 0))


@pytest.mark.parametrize("series", JSON_SERIES)
def test_unknown_json_fields_are_ignored(series: str) -> None:
    """A later Slurm adds a field to each object of a job's record; the job is read as before."""
    document = record(series)
    more = with_more(document)
    assert isinstance(more, dict)

    assert job(document) == job(more)


@pytest.mark.parametrize("series", JSON_SERIES)
def test_missing_field_is_allowed_or_an_error(series: str) -> None:
    """Without any one field the record is read, or an error names the missing field."""
    truth = job(record(series))
    for path in paths(record(series)):
        document = record(series)
        parent: Any = document
        for step in path[:-1]:
            parent = parent[step]
        del parent[path[-1]]
        found = job_or_error(document)
        if isinstance(found, ValueError):
            assert str(found)
        else:
            assert found.job_id == truth.job_id
            assert run_stage(found) in {RunStage.LIVE, RunStage.UNSETTLED}


@pytest.mark.parametrize("series", JSON_SERIES)
def test_field_of_another_type_is_ignored_or_an_error(series: str) -> None:
    """A field of another type counts as missing or as an error, and never ends a run."""
    for path in paths(record(series)):
        for odd in ODD:
            document = copy.deepcopy(record(series))
            parent: Any = document
            for step in path[:-1]:
                parent = parent[step]
            parent[path[-1]] = odd
            found = job_or_error(document)
            if isinstance(found, ValueError):
                assert str(found)
            else:
                assert run_stage(found) is not RunStage.ENDED


@pytest.mark.parametrize("words", ["NEW1", ["NEW2"], ["RUNNING", "NEW3"], ["NEW4", "RUNNING"]])
def test_an_unknown_state_word_ends_no_run(words: object, caplog: pytest.LogCaptureFixture) -> None:
    """An unknown word does not end a run, whatever its end time is, and is logged."""
    document = record("24.05") | {"job_state": words}
    found = job(document)
    job(document)

    assert run_stage(found) in {RunStage.LIVE, RunStage.UNSETTLED}
    assert found.end_time is None
    assert 1 == len(re.findall(r"job state NEW\d is unknown", caplog.text))


def test_an_unknown_state_word_in_text_ends_no_run() -> None:
    """Squeue's text shows the state HIBERNATING; the run does not end, and has its nodes."""
    recorded = commands("22.05")
    slurm = recorded.slurm()
    columns = CommandResult((), 0, looked_up_with(ids_of(recorded)[0], "HIBERNATING"), b"")
    recorded.answers[" -O "] = columns
    found = job_of(slurm, ids_of(recorded)[0])

    assert RunStage.UNSETTLED is run_stage(found)
    assert found.nodes


def looked_up_with(job_id: int, state: str) -> bytes:
    """Return a line of squeue about the first job of gpu-two-nodes in another state."""
    return (
        f"{job_id}|{job_id}|N/A|N/A|N/A|{state}|1|2|3|1:00:00|0|2|bob|5002|k2000|gpu|normal|(null)|"
        "n2gpu01|cpu=2|OK|(null)|\n"
    ).encode()


def test_an_unknown_state_word_in_accounting_ends_no_run() -> None:
    """The row of accounting has the state HIBERNATING and no end time."""
    document = Situation("24.05", "gpu-two-nodes").files["sacct.json"]
    stream = AccountingStream()
    stream.feed(document.replace(b'"RUNNING"', b'"HIBERNATING"'))
    for run in stream.close():
        assert RunStage.UNSETTLED is run_stage(run)


def test_new_sharing_value_is_shared_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A new word for sharing means shared nodes, with one warning."""
    document = record("24.05") | {"shared": ["rack"]}

    assert Sharing.SHARED == job(document).sharing == job(document).sharing
    assert 1 == caplog.text.count("node sharing rack is unknown to this program")


@pytest.mark.parametrize("series", SERIES[3:])
def test_new_parser_version_is_read_by_its_shape(series: str) -> None:
    """The version of the JSON does not matter as long as its shape is known."""
    document = Situation(series, "gpu-two-nodes").files["squeue.json"]
    renamed = json.loads(document)
    renamed["meta"]["plugin"]["data_parser"] = "data_parser/v0.0.99"
    stream_found: list[dict[str, Any]] = []
    stream = RecordStream(stream_found.append)
    stream.feed(json.dumps(renamed).encode())

    assert "data_parser/v0.0.99" == stream.close()["meta"]["plugin"]["data_parser"]
    assert [job(item) for item in json_records(document)] == [job(item) for item in stream_found]


def test_release_without_the_requested_parser_is_read_by_text() -> None:
    """A later release without v0.0.44 refuses the request; the same jobs are read from text."""
    recorded = commands("26.05")
    recorded.release = Release(27, 11, 1)
    words = b"squeue: error: Unable to find plugin: data_parser/v0.0.44\n"
    recorded.answers["--json"] = CommandResult((), 1, b"", words)
    found = recorded.slurm().jobs(ids_of(recorded))

    assert expected(recorded) == [described(found[job_id]) for job_id in ids_of(recorded)]


def test_unknown_lines_in_scontrols_text_are_ignored() -> None:
    """A later Slurm prints further lines before and after the nodes of a job."""
    recorded = commands("26.05")
    recorded.answers["--json"] = CommandResult((), 1, b"", b"no serializer")
    found = recorded.slurm().jobs(ids_of(recorded))
    text = recorded.situation.files["scontrol.txt"].decode().split("\n\nJobId=")[0]
    more = text.replace("   Partition=", "   NewField=x/y Other=z\n   Partition=")
    more = more.replace("   WorkDir=", "   Late=1\n   WorkDir=")
    first = found[ids_of(recorded)[0]]
    assert isinstance(first, Job)

    assert first == add_job_detail(first, more, node_of=node_of)


def test_answer_of_another_type_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """HTML, other JSON or bytes instead of sacct's JSON answer raise SlurmError."""
    caplog.set_level(logging.WARNING)
    for document in (
        b"<html>",
        b'{"jobs": {}}',
        b'{"jobs": [1]}',
        b"\xff\xfe",
        b"null",
        b"[" * 9999,
    ):
        with pytest.raises(SlurmError) as caught:
            sacct_runs(document)
        assert str(caught.value)

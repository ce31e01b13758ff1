"""Encoding and decoding of run files as JSON."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm.job import Gres, Job, NodeAllocation, Sharing
from spool.errors import BadFileError, NewerFormatError
from spool.files import codec
from spool.files.run import End, EndSource, LastError, Run

# Bytes from Slurm that are not UTF-8 are decoded to the lone surrogates U+DC80 ... U+DCFF
_LETTERS = st.characters(exclude_categories=["Cs"]) | st.characters(
    min_codepoint=0xDC80, max_codepoint=0xDCFF
)
_TEXT = st.text(_LETTERS, max_size=12)
_NUMBER = st.integers(-(10**30), 10**30)


def _tuples(item: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(item, max_size=3).map(tuple)


_MAYBE_TEXT, _MAYBE_NUMBER = st.none() | _TEXT, st.none() | _NUMBER
_GRES = st.builds(
    Gres,
    name=_TEXT,
    type=_MAYBE_TEXT,
    count=_NUMBER,
    indices=st.none() | _tuples(_NUMBER),
)
_ALLOCATION = st.builds(
    NodeAllocation,
    name=_TEXT,
    cores=st.none() | _tuples(_NUMBER),
    core_count=_MAYBE_NUMBER,
    cpus=_MAYBE_NUMBER,
    gres=st.none() | _tuples(_GRES),
)
_BY_HINT = {"str | None": _MAYBE_TEXT, "int | None": _MAYBE_NUMBER}
_START = st.integers(1, 10**12 - 1)
_JOB = st.builds(
    Job,
    **{
        field.name: _BY_HINT[str(field.type)]
        for field in fields(Job)
        if str(field.type) in _BY_HINT
    },
    job_id=_START,
    flags=_tuples(_TEXT),
    nodes=_tuples(_TEXT),
    allocations=_tuples(_ALLOCATION),
    sharing=st.none() | st.sampled_from(Sharing),
)
_END = st.builds(End, time=_NUMBER, state=_TEXT, source=st.sampled_from(EndSource))
_ERROR = st.builds(
    LastError,
    time=_NUMBER,
    call=_TEXT,
    outcome=_TEXT,
    reason=_TEXT,
    message=_TEXT,
    hint=_TEXT,
    request=_MAYBE_TEXT,
)
_RUN = st.builds(
    Run,
    job=_JOB,
    start_time=_START,
    script=_MAYBE_TEXT,
    description=_MAYBE_TEXT,
    end=st.none() | _END,
    cluster=_MAYBE_TEXT,
    started=_MAYBE_NUMBER,
    reported=st.booleans(),
    reason=_MAYBE_TEXT,
    monitoring_status=_MAYBE_NUMBER,
    replaces=_tuples(_NUMBER),
    attempts=_NUMBER,
    not_before=_NUMBER,
    last_error=st.none() | _ERROR,
    seen=_NUMBER,
)
RUN = Run(
    job=Job(
        job_id=5,
        nodes=("n1",),
        allocations=(NodeAllocation(name="n1", cores=(0, 1), gres=(Gres(name="gpu", count=1),)),),
        sharing=Sharing.NODE,
    ),
    start_time=100,
    end=End(time=200, state="COMPLETED", source=EndSource.CONTROLLER),
)


@settings(max_examples=200)
@given(_RUN)
def test_decoding_an_encoded_run_gives_the_same_run(run: Run) -> None:
    """Random runs have text from Slurm that is not UTF-8 and very large numbers."""
    assert run == codec.decode(run.name, codec.encode(run))


@settings(max_examples=50)
@given(_RUN)
def test_a_run_file_is_one_line_of_ascii(run: Run) -> None:
    """The archive and `jq` read one run a line."""
    contents = codec.encode(run)

    assert (True, 1, b"\n") == (contents.isascii(), contents.count(b"\n"), contents[-1:])


def test_a_run_file_begins_with_the_format_version() -> None:
    """A later version of the program can recognise the format of the file."""
    assert codec.encode(RUN).startswith(b'{"version":1,')


def test_a_run_file_omits_default_values() -> None:
    """An administrator who reads the file sees only the other values."""
    plain = Run(job=Job(job_id=5), start_time=100)

    assert {"version": 1, "job": {"job_id": 5}, "start_time": 100} == json.loads(
        codec.encode(plain)
    )


def test_null_is_the_same_as_a_missing_key() -> None:
    """A run file with null for an optional value or object is read as if the key were missing."""
    document = {"version": 1, "job": {"job_id": 5, "user": None}, "start_time": 100, "end": None}
    plain = Run(job=Job(job_id=5), start_time=100)

    assert plain == codec.decode(plain.name, json.dumps(document).encode())


def test_a_run_on_65536_nodes_stays_below_the_size_limit() -> None:
    """The file size is extrapolated from a run on 10 000 nodes with 256 cores each."""
    cores = tuple(range(256))
    names = tuple(f"node{number:05}" for number in range(10_000))
    allocations = tuple(NodeAllocation(name=name, cores=cores) for name in names)
    wide = replace(RUN, job=replace(RUN.job, nodes=names, allocations=allocations))

    assert len(codec.encode(wide)) * 65536 / 10_000 < codec.LIMIT_BYTES


def changed(path: str, value: Any) -> bytes:
    """Return the file of `RUN` with a changed value at a path such as `job.nodes`."""
    document = json.loads(codec.encode(RUN))
    *parents, key = path.split(".")
    place = document
    for parent in parents:
        place = place[int(parent)] if parent.isdigit() else place[parent]
    place[key] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("version", None, "unknown version None"),
        ("version", 0, "unknown version 0"),
        ("version", "1", "unknown version '1'"),
        ("start_time", 101, r"its name does not match its contents \(job 5, start 101\)"),
        ("job.job_id", 6, r"its name does not match its contents \(job 6, start 100\)"),
        ("start_time", "100", "run.start_time: expected int, got str"),
        ("start_time", 100.0, "run.start_time: expected int, got float"),
        ("reported", 1, "run.reported: expected bool, got int"),
        ("attempts", True, "run.attempts: expected int, got bool"),
        ("job", [], "run.job: expected an object, got list"),
        ("job.nodes", "n1", "run.job.nodes: expected a list, got str"),
        ("job.nodes", ["n1", 2], r"run.job.nodes\[1\]: expected str, got int"),
        ("job.allocations.0.cores", [0, None], r"cores\[1\]: expected int, got NoneType"),
        ("job.allocations.0.gres", [{"name": "gpu"}], "count"),
        ("job.sharing", "some", "'some' is not a valid Sharing"),
        ("end", {}, "missing"),
        ("end.source", [], "not a valid EndSource"),
        ("later", 1, "run: unknown keys later"),
        ("end.later", 1, "run.end: unknown keys later"),
    ],
)
def test_a_file_with_a_wrong_value_is_refused(path: str, value: Any, reason: str) -> None:
    """The error names the key of the run file, such as `run.start_time: expected int, got str`."""
    with pytest.raises(BadFileError, match=reason):
        codec.decode(RUN.name, changed(path, value))


@pytest.mark.parametrize("contents", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 5000])
def test_a_file_that_is_not_json_is_refused(contents: bytes) -> None:
    """The run file is truncated, empty, binary, too deeply nested or a huge number."""
    with pytest.raises(BadFileError, match="not JSON"):
        codec.decode(RUN.name, contents)


@pytest.mark.parametrize("contents", [b"[]", b"1", b'"x"', b"null"])
def test_a_file_that_is_not_a_json_object_is_refused(contents: bytes) -> None:
    """A list, a number, a string and null are JSON, but the program never writes them."""
    with pytest.raises(BadFileError, match="not a JSON object"):
        codec.decode(RUN.name, contents)


def test_a_file_with_an_invalid_name_is_refused() -> None:
    """The name of a run file must contain job id and start time of the run."""
    with pytest.raises(BadFileError, match="not a valid name of a run file"):
        codec.decode("x.json", codec.encode(RUN))


def test_a_file_of_a_later_version_has_its_own_error() -> None:
    """NewerFormatError lets the caller keep the file unchanged, whatever it contains."""
    with pytest.raises(NewerFormatError):
        codec.decode(RUN.name, b'{"version": 2, "run": "of other shape"}')


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_random_bytes_give_one_of_two_errors(contents: bytes) -> None:
    """Random bytes in a run file raise BadFileError or NewerFormatError and nothing else."""
    with pytest.raises((BadFileError, NewerFormatError)):
        codec.decode(RUN.name, contents)

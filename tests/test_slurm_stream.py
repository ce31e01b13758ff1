"""The JSON stream parser: answers in pieces, truncated answers and invalid UTF-8."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_slurm import SERIES, Situation

from slurm.decode.json_stream import RecordStream
from slurm.errors import FailureReason, SlurmError

WHOLE = b'{ "meta" : {"a": [1, 2]},\n "jobs": [{"x": 1} , {"y": "]}"}], "errors": [], "n": 12 }\n'


def read(document: bytes, size: int = 7) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Parse a document in pieces; return its records and its other fields."""
    found: list[dict[str, Any]] = []
    stream = RecordStream(found.append)
    for start in range(0, len(document), size):
        stream.feed(document[start : start + size])
    return found, stream.close()


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_json_in_pieces_of_any_size_gives_the_same_records(size: int) -> None:
    """Records and the fields beside them do not depend on where the answer is divided."""
    records, beside = read(WHOLE, size)

    assert [{"x": 1}, {"y": "]}"}] == records
    assert {"meta": {"a": [1, 2]}, "jobs": True, "errors": [], "n": 12} == beside


def test_every_truncation_of_json_is_detected() -> None:
    """A JSON answer that is cut at any byte is refused as incomplete."""
    for length in range(len(WHOLE.rstrip())):
        with pytest.raises(SlurmError) as caught:
            read(WHOLE[:length])
        assert FailureReason.INCOMPLETE is caught.value.reason


@pytest.mark.parametrize("series", SERIES)
def test_truncated_recorded_answers_are_refused(series: str) -> None:
    """The recorded JSON of squeue of every release is cut at every 997th byte."""
    document = Situation(series, "gpu-two-nodes").files["squeue.json"].rstrip()
    for length in range(0, len(document), 997):
        with pytest.raises(SlurmError):
            read(document[:length], 4096)


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (b"", FailureReason.INCOMPLETE),
        (b"{}", FailureReason.INCOMPLETE),
        (b"[]", FailureReason.MALFORMED),
        (b'{"jobs": [1], "meta": 1, "errors": []}', FailureReason.MALFORMED),
        (b'{"jobs": {}, "meta": 1, "errors": []}', FailureReason.MALFORMED),
        (b'{"jobs": [] "meta": 1}', FailureReason.MALFORMED),
        (b'{"jobs": [{}{}], "meta": 1, "errors": []}', FailureReason.MALFORMED),
        (b'{"jobs": [], "errors": []}', FailureReason.MALFORMED),
        (b'{"jobs": [], "meta": {}, "errors": []} {', FailureReason.MALFORMED),
        (b'{"jobs": [], "meta": {}, "errors": ["x"]}', FailureReason.ERRORS_IN_ANSWER),
        (b'{"jobs": [], "meta": ' + b"[" * 200000, FailureReason.MALFORMED),
        (b'{"jobs": [], "meta": ' + b"9" * 5000 + b', "errors": []}', FailureReason.MALFORMED),
    ],
)
def test_an_invalid_json_answer_is_refused(document: bytes, kind: FailureReason) -> None:
    """Bad syntax, missing parts and reported errors each have their own reason."""
    with pytest.raises(SlurmError) as caught:
        read(document, 1 << 16)
    assert kind is caught.value.reason


def test_invalid_utf_8_affects_only_one_name() -> None:
    """Slurm passes the bytes of names through; the other jobs are read as usual."""
    document = b'{"meta": {}, "errors": [], "jobs": [{"name": "a\xff\xc3"}, {"name": "\xc3\xbc"}]}'

    assert [{"name": "a\ufffd\ufffd"}, {"name": "ü"}] == read(document, 1)[0]


def test_a_large_json_answer_needs_little_memory() -> None:
    """Parsing 10 MB of JSON about 2001 jobs needs less than 256 KiB."""
    record = json.dumps({"name": "x" * 5000}).encode()
    count = 0

    def take(_record: dict[str, Any]) -> None:
        nonlocal count
        count += 1

    tracemalloc.start()
    stream = RecordStream(take)
    stream.feed(b'{"meta": {}, "errors": [], "jobs": [')
    for _ in range(2000):
        stream.feed(record + b",")
    stream.feed(record + b"]}")
    stream.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert 2001 == count
    assert peak < 1 << 18


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(records=st.lists(st.dictionaries(st.text(), JSON, max_size=3)), size=st.integers(1, 50))
def test_any_json_records_are_returned_unchanged(records: list[dict[str, Any]], size: int) -> None:
    """The parser returns all JSON records in their order, whatever the size of the pieces."""
    document = json.dumps({"jobs": records, "errors": [], "meta": {}}).encode()
    assert records == read(document, size)[0]


def test_a_huge_record_in_small_pieces_is_read_in_linear_time() -> None:
    """Joining the pieces of this record one by one would take minutes."""
    records: list[dict[str, object]] = []
    stream = RecordStream(records.append)
    answer = json.dumps({"jobs": [{"comment": "x" * (4 << 20)}], "meta": {}, "errors": []}).encode()

    for start in range(0, len(answer), 32):
        stream.feed(answer[start : start + 32])
    stream.close()

    assert [{"comment": "x" * (4 << 20)}] == records

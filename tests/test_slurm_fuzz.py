"""Every parser of Slurm's output returns a value or raises an expected error for any input.

Each gets a thousand inputs; `make fuzz` (`FUZZ_EXAMPLES`) uses a hundred times as many. Inputs are
random texts, and recorded answers in which something was changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import hostlist as oracle
import pytest
from ClusterShell.NodeSet import NodeSet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded_slurm import (
    Situation,
    json_jobs,
    lookup_lines,
    node_of,
    recordings,
    sacct_lines,
    text_records,
)

from slurm.decode.fields.gres import GresError, parse_gres, parse_tres
from slurm.decode.fields.hostlist import HostlistError, expand_hosts, expand_indices
from slurm.decode.fields.job_states import split_state
from slurm.decode.fields.scalars import digits, instant, number, parse_time_limit, positive, text
from slurm.decode.fields.sharing import sharing_from_json, sharing_from_text
from slurm.decode.hook_facts import HookFacts, parse_hook_facts
from slurm.decode.job_rows import parse_job_list, parse_queue_snapshot
from slurm.decode.json_stream import RecordStream
from slurm.decode.release_text import parse_release
from slurm.decode.sacct_rows import parse_sacct_rows
from slurm.decode.scontrol_config import parse_config, parse_controllers
from slurm.decode.scontrol_job import UntrustedTextError, add_job_detail, job_record_text
from slurm.decode.scontrol_nodes import parse_nodes
from slurm.decode.squeue_columns import columns_for, parse_job_columns
from slurm.decode.squeue_json import parse_job
from slurm.errors import SlurmError
from slurm.job import Job
from slurm.release import Release, features_of

fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "1000")),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
RESULT = (ValueError, SlurmError, UntrustedTextError)
WORDS = st.text(alphabet="n0123[]-, x:()/IDXCNTSgpu.KMG|_+=%\n\t\x1fU", max_size=40) | st.text()
SHAPES = ("21.08", "22.05", "24.05")  # the three shapes of the JSON
SOURCE = Situation("22.05", "many-states")
NEWER = Situation("26.05", "many-states")


def changed(recorded: bytes, limit: int = 4000) -> st.SearchStrategy[bytes]:
    """Return a strategy for the start of a recorded answer with some bytes changed or removed."""
    cut = recorded[:limit]
    place = st.integers(0, len(cut))
    piece = st.binary(max_size=6) | st.sampled_from([b"\n", b"|", b"\x1f", b"[", b"}", b"0", b" "])
    edits = st.lists(st.tuples(place, st.integers(0, 30), piece), max_size=4)

    def apply(steps: list[tuple[int, int, bytes]]) -> bytes:
        found = cut
        for start, length, new in steps:
            found = found[:start] + new + found[start + length :]
        return found

    return edits.map(apply)


def parse_or_refuse(parse: Callable[[Any], object], value: object) -> object:
    """Return the value of a parser, or None if it refuses with an expected error."""
    try:
        return parse(value)
    except RESULT as error:
        said = str(error)
    assert said
    return None


TEXTS: dict[str, Callable[[str], object]] = {
    "hostlist": expand_hosts,
    "index list": expand_indices,
    "gres": parse_gres,
    "time limit": parse_time_limit,
    "digits": digits,
    "tres": parse_tres,
    "state": split_state,
    "text": text,
    "sharing": lambda word: sharing_from_text(exclusive=word, oversubscribe=word),
    "description": lambda word: job_record_text(word, 7),
}
BYTES: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "version": (parse_release, b"slurm-wlm 22.05.8\n"),
    "listing": (parse_job_list, b"7|7|N/A|RUNNING|1|2|3|1|cpu|alice|k|n[1-2]\n"),
    "queue_snapshot": (parse_queue_snapshot, b"7|7|N/A|RUNNING|1|2|3|1|cpu|alice|k|n[1-2]\n"),
    "look-up": (
        lambda raw: parse_job_columns(raw, columns_for(features_of(Release(22, 5))), cluster="lab"),
        lookup_lines(SOURCE, ""),
    ),
    "accounting": (parse_sacct_rows, sacct_lines(SOURCE.files["sacct.txt"])),
    "configuration": (parse_config, recordings("22.05")["cluster"]["scontrol-config.txt"]),
    "controllers": (parse_controllers, b"Slurmctld(primary) at ctl01 is UP\n"),
    "nodes": (parse_nodes, recordings("22.05")["cluster"]["scontrol-nodes.txt"]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_field_texts_are_read_or_refused(name: str) -> None:
    """Any text of a field (host list, GRES, time limit) gives a value or an expected error."""

    @fuzzed
    @given(WORDS)
    def check(word: str) -> None:
        parse_or_refuse(TEXTS[name], word)

    check()


@pytest.mark.parametrize("name", BYTES)
def test_answers_are_read_or_refused(name: str) -> None:
    """A changed or random answer of a command gives a value or an expected error."""
    parse, recorded = BYTES[name]

    @fuzzed
    @given(changed(recorded) | st.binary() | WORDS.map(str.encode))
    def check(raw: bytes) -> None:
        parse_or_refuse(parse, raw)

    check()


@pytest.mark.parametrize("series", SHAPES)
def test_json_answers_are_read_or_refused(series: str) -> None:
    """A changed JSON answer of squeue gives a value or an expected error."""
    files = Situation(series, "gpu-two-nodes").files

    @fuzzed
    @given(changed(files["squeue.json"], 1 << 20))
    def check(squeue: bytes) -> None:
        parse_or_refuse(json_jobs, squeue)

    check()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["set", "number", "nodes", "0", "name", "list"]), inner)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("parse", [number, positive, instant, split_state, sharing_from_json, text])
def test_json_values_are_read_or_refused(parse: Callable[[Any], object]) -> None:
    """Any JSON value gives a number, a word, or an expected error."""

    @fuzzed
    @given(VALUES)
    def check(value: object) -> None:
        parse_or_refuse(parse, value)

    check()


@pytest.mark.parametrize("series", SHAPES)
def test_json_job_records_are_read_or_refused(series: str) -> None:
    """A JSON job record with odd values in two fields gives a job or an expected error."""
    document = Situation(series, "gpu-two-nodes").files["squeue.json"]
    record = json.loads(document)["jobs"][1]
    inner = record["job_resources"]

    @fuzzed
    @given(st.sampled_from(sorted(record)), VALUES, st.sampled_from(sorted(inner)), VALUES)
    def check(name: str, value: object, part: str, other: object) -> None:
        odd = record | {"job_resources": inner | {part: other}, name: value}
        found = parse_or_refuse(lambda item: parse_job(item, node_of=node_of), odd)
        assert found is None or isinstance(found, Job)

    check()


@pytest.mark.parametrize("situation", [SOURCE, NEWER], ids=str)
def test_changed_scontrol_text_keeps_the_facts_of_squeue(situation: Situation) -> None:
    """A changed `scontrol show job -d` is refused, or keeps nodes, state, user and start time."""
    series = tuple(map(int, situation.series.split(".")))
    columns = columns_for(features_of(Release(*series)))
    jobs = parse_job_columns(lookup_lines(situation, ""), columns, cluster="lab").rows
    records = text_records(situation.files["scontrol.txt"])
    job = next(job for job in jobs.values() if len(job.nodes) == 2)

    @fuzzed
    @given(changed(records[job.job_id].encode()))
    def check(raw: bytes) -> None:
        words = raw.decode("utf-8", "replace")
        found = parse_or_refuse(lambda t: add_job_detail(job, t, node_of=node_of), words)
        if isinstance(found, Job):
            assert job.nodes == found.nodes
            assert (job.state, job.user, job.start_time) == (
                found.state,
                found.user,
                found.start_time,
            )

    check()


@fuzzed
@given(st.dictionaries(st.sampled_from(["nodes", "cpus_per_node", "user", "array_job_id"]), WORDS))
def test_any_extra_lines_of_an_event_are_accepted(words: dict[str, str]) -> None:
    """Any text in an event's extra lines gives HookFacts and no error."""
    assert isinstance(parse_hook_facts(words), HookFacts)


def index_range(low: int, more: int, width: int) -> str:
    """Return a range as Slurm prints it: both bounds padded with zeros to the same width."""
    return f"{low:0{width}d}" if more == 0 else f"{low:0{width}d}-{low + more:0{width}d}"


RANGE = st.builds(index_range, st.integers(0, 120), st.integers(0, 4), st.integers(1, 3))
ITEM = st.builds(
    lambda name, ranges, tail: f"{name}[{','.join(ranges)}]{tail}",
    st.sampled_from(["n", "node-", "r1c"]),
    st.lists(RANGE, min_size=1, max_size=3),
    st.sampled_from(["", "x"]),
)


@fuzzed
@given(st.lists(ITEM, min_size=1, max_size=3).map(",".join))
def test_two_other_libraries_expand_host_lists_to_the_same_hosts(expression: str) -> None:
    """python-hostlist gives the hosts in the order of `expand_hosts`, ClusterShell as a set."""
    found = expand_hosts(expression)

    assert oracle.expand_hostlist(expression, allow_duplicates=True, sort=False) == list(found)
    assert set(NodeSet(expression)) == set(found)


@fuzzed
@given(st.binary(max_size=60), st.integers(1, 9))
def test_any_bytes_of_a_json_stream_are_read_or_refused(raw: bytes, size: int) -> None:
    """Random bytes in small pieces give an expected error, or by chance a valid answer."""

    def read(document: bytes) -> object:
        stream = RecordStream(lambda _record: None)
        for start in range(0, len(document), size):
            stream.feed(document[start : start + size])
        return stream.close()

    parse_or_refuse(read, raw)


def test_errors_of_parsers_are_value_errors() -> None:
    """HostlistError and GresError are ValueErrors, because callers catch ValueError."""
    assert issubclass(HostlistError, ValueError)
    assert issubclass(GresError, ValueError)

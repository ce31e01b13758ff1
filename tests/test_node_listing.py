"""Parsing `scontrol -a -d -o show node` of every release: one record for each node."""

from __future__ import annotations

import re

import pytest
from recorded_nodes import expected_nodes, node_situations, read_listing
from recorded_slurm import SERIES, recordings

from ccbackend.node_states import node_condition
from slurm.decode.job_rows import parse_queue_snapshot
from slurm.decode.node_states import NodeListingReader, NodeRecord, state_words
from slurm.errors import FailureReason, SlurmError

LINE = (
    "NodeName={name} Arch=x86_64 CoresPerSocket=4  CPUAlloc=6 CPUEfctv=16 CPUTot=16 CPULoad=2.0"
    " AvailableFeatures=a,b ActiveFeatures=a,b Gres={gres} GresDrain=N/A {used}NodeAddr=c"
    " NodeHostName=c Port=17001 Version=24.11.5 OS=Linux 6.1 State=DOWN ThreadsPerCore=9"
    "  RealMemory=64000 AllocMem=1500 FreeMem=1 Sockets=2 Boards=1 State={state} ThreadsPerCore=2"
    " TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A {partitions} BootTime=None CfgTRES=cpu=16{end}\n"
)


def line(name: str = "n1", state: str = "IDLE", **fields: str) -> bytes:
    """Return the line of a node."""
    known = {"gres": "(null)", "used": "", "partitions": "Partitions=cpu,all ", "end": ""} | fields
    return LINE.format(name=name, state=state, **known).encode()


def failure(text: bytes) -> FailureReason:
    """Return why an output is refused."""
    with pytest.raises(SlurmError) as caught:
        read_listing(text)
    return caught.value.reason


@pytest.mark.parametrize("situation", sorted(node_situations()))
def test_every_recorded_node_has_the_expected_state_and_counts(situation: str) -> None:
    """Expected values were written by hand; only a node with a forged record can be missing."""
    files, expected = node_situations()[situation], expected_nodes(situation)
    jobs = parse_queue_snapshot(files["squeue.txt"]).jobs_by_node()
    found = {}
    for node in read_listing(files["scontrol-do.txt"], 1000).nodes:
        count = jobs.get(node.name, 0)
        word = node_condition(node.words, has_jobs=bool(count))
        if word is not None:
            found[node.name] = {
                "state": word,
                "cpusAllocated": node.cpus,
                "memoryAllocated": node.memory_mb,
                "gpusAllocated": node.gpus,
                "jobsRunning": count,
            }
    wanted = {name: each for name, each in expected["nodes"].items() if each is not None}
    for name in expected.get("mayBeLeftOut", ()):
        found.setdefault(name, wanted[name])

    assert wanted == found


@pytest.mark.parametrize("series", SERIES)
def test_node_records_of_every_release_are_parsed(series: str) -> None:
    """Six nodes of each of nine releases; each record is joined into a line, as `-o` prints it."""
    text = recordings(series)["cluster"]["scontrol-nodes.txt"].decode()
    records = [" ".join(each.split()) for each in re.split(r"\n\s*\n(?=NodeName)", text.strip())]
    nodes = read_listing("".join(each + "\n" for each in records).encode()).nodes

    assert len(records) == len(nodes) == 6
    assert {frozenset({"IDLE"})} == {node.words for node in nodes}
    assert {("cpu", "low"), ("gpu",)} == {node.partitions for node in nodes}


def test_text_in_the_operating_system_or_reason_is_not_parsed() -> None:
    """`State=DOWN` in the name of the OS or in the reason of a node is not its state."""
    end = " Reason=State=DOWN ThreadsPerCore=2 Comment=x"

    assert (
        NodeRecord(
            name="n1",
            words=frozenset({"MIXED", "DRAIN"}),
            cpus=6,
            memory_mb=1500,
            partitions=("cpu", "all"),
        )
        == (read_listing(line(state="MIXED+DRAIN", end=end)).nodes[0])
    )


def test_a_node_without_a_partition_is_read() -> None:
    """A node that was made with `scontrol create` has no partition."""
    assert () == read_listing(line(partitions="")).nodes[0].partitions


@pytest.mark.parametrize(
    ("used", "count"),
    [
        ("gpu:a100:3(IDX:0,2-3)", 3),
        ("gpu:4(IDX:0-3)", 4),
        ("gpu:a100:1(IDX:0),gpu:h100:2(IDX:1,2),shard:h100:5(2/8,3/8),mps:100", 3),
        ("gpu:(null):2(IDX:0-1)", 2),
        ("gpu:a100:0(IDX:N/A)", 0),
        ("shard:4(4/8),license:3", 0),
        ("gpu:0", 0),
        ("(null)", 0),
        ("", 0),
    ],
)
def test_only_gpus_in_use_are_counted(used: str, count: int) -> None:
    """GPUs of all types count; shards and other resources do not."""
    assert count == read_listing(line(used=f"GresUsed={used} ")).nodes[0].gpus


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("IDLE", {"IDLE"}),
        ("IDLE+CLOUD+POWERED_DOWN", {"IDLE", "CLOUD", "POWERED_DOWN"}),
        ("IDLE*", {"IDLE", "NOT_RESPONDING"}),
        ("alloc@", {"ALLOCATED", "REBOOT_REQUESTED"}),
        ("MIX-", {"MIXED", "PLANNED"}),
        ("DOWN*+DRAIN", {"DOWN", "NOT_RESPONDING", "DRAIN"}),
        ("IDLE~#%!$^", {"IDLE", "POWERED_DOWN", "POWERING_UP", "POWERING_DOWN", "POWER_DOWN"}
         | {"MAINTENANCE", "REBOOT_ISSUED"}),
    ],
)  # fmt: skip
def test_a_node_state_is_split_into_words(text: str, words: set[str]) -> None:
    """The text has a base state, flags joined by +, and suffix characters of older releases."""
    assert words == state_words(text)


def test_a_node_that_occurs_twice_is_left_out() -> None:
    """One of the two records may be a comment that looks like a record."""
    listing = read_listing(line("n1") + line("n2") + line("n1", "DOWN"))

    assert (["n2"], ("n1",)) == ([node.name for node in listing.nodes], listing.duplicates)


def test_lines_without_a_node_name_are_ignored() -> None:
    """Such lines come from line feeds in comments, in any encoding; they are no bad lines."""
    text = line("n1", end=" Comment=caf\xe9").decode().encode("latin-1")
    listing = read_listing(text + b"second line \xff State=DOWN\n\n")

    assert (1, 0) == (len(listing.nodes), listing.bad_lines)


def test_an_unreadable_node_record_is_omitted_and_counted() -> None:
    """The other nodes are used if only one record cannot be read."""
    listing = read_listing(line("n1") + b"NodeName=n2 what is this\n")

    assert (1, 1) == (len(listing.nodes), listing.bad_lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", FailureReason.MALFORMED),
        (b"No nodes in the system\n", FailureReason.MALFORMED),
        (line()[:-1], FailureReason.INCOMPLETE),
        (line() + b"NodeName=n2 Arch", FailureReason.INCOMPLETE),
        (b"NodeName=n1 Arch=x86_64\n   CPUAlloc=0\n", FailureReason.MALFORMED),
        (line("n0") + b"NodeName=n1 x\n" * 3, FailureReason.MALFORMED),
        (
            b"".join(line(f"n{i}") for i in range(296)) + b"NodeName=x y\n" * 3,
            FailureReason.MALFORMED,
        ),
    ],
)
def test_an_incomplete_or_malformed_node_list_is_refused(
    text: bytes, reason: FailureReason
) -> None:
    """No node, a truncated line, or too many bad records: no node state is reported."""
    assert reason is failure(text)


def test_up_to_one_percent_of_the_records_may_be_bad() -> None:
    """Three bad records of 300 are accepted; of a few nodes at most two may be bad."""
    text = b"".join(line(f"n{i}") for i in range(297)) + b"NodeName=x y\n" * 3

    assert 3 == read_listing(text).bad_lines


def test_a_node_list_can_arrive_in_pieces() -> None:
    """The result is the same if each line of scontrol's output arrives in parts."""
    text = line("n1") + line("n2", "DOWN")

    assert read_listing(text) == read_listing(text, 1)


def test_empty_output_of_scontrol_is_an_error() -> None:
    """A command that printed no line has no node list: the reader raises SlurmError."""
    with pytest.raises(SlurmError, match="no node in its output"):
        NodeListingReader().finish()


def test_jobs_are_counted_by_node() -> None:
    """Running and suspended jobs count; a job with an unreadable node list does not."""
    rows = [(1, "RUNNING", "n[1-2]"), (2, "SUSPENDED", "n2"), (3, "COMPLETING", "n1")]
    rows += [(4, "RUNNING", "n[1"), (5, "CONFIGURING", "n1")]
    text = "".join(f"{i}|{i}|N/A|{state}|9|9|9|1|p|u|a|{nodes}\n" for i, state, nodes in rows)

    assert {"n1": 1, "n2": 2} == parse_queue_snapshot(text.encode()).jobs_by_node()

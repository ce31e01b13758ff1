"""Traps in Slurm's output, one by one, and how they are decoded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from recorded_slurm import NODE, Situation, json_records, node_of, sacct_runs, text_jobs

from slurm.decode.fields.scalars import instant, number
from slurm.decode.fields.sharing import sharing_from_text
from slurm.decode.job_resources import parse_job_resources
from slurm.decode.scontrol_job import add_job_detail
from slurm.decode.scontrol_nodes import Node, NodeOf
from slurm.decode.squeue_json import parse_job
from slurm.job import Gres, Job, Sharing


def record(series: str, scenario: str, place: int = 0, file: str = "squeue.json") -> dict[str, Any]:
    """Return one record of a recorded JSON answer."""
    return json_records(Situation(series, scenario).files[file])[place]


def job(document: dict[str, Any], nodes: NodeOf = node_of) -> Job:
    """Return the job of a record."""
    return parse_job(document, node_of=nodes)


def cores_2108(
    sockets: str, cores: str, cpus: int, node: Node | None = NODE
) -> tuple[int, ...] | None:
    """Return the cores of a node as decoded from 21.08; sockets and cores are lists of words."""
    allocated = {"sockets": dict.fromkeys(sockets.split()), "cores": dict.fromkeys(cores.split())}
    document = {"nodes": "n1", "allocated_nodes": {"0": {**allocated, "cpus": cpus}}}
    found = parse_job_resources(document, [], lambda _name: node, is_live=True)
    return found.allocations[0].cores


def test_shrinking_node_list_of_a_completing_job_is_not_used() -> None:
    """While COMPLETING, `nodes` has only a part of the nodes; text and JSON decode to all nodes."""
    for series in ("22.05", "26.05"):
        document = record(series, "completing-partial")
        (by_text,) = text_jobs(Situation(series, "completing-partial"), "").values()
        assert isinstance(by_text, Job)

        assert "n2cn002" == document["nodes"]
        assert ("n2cn001", "n2cn002", "n2cn003") == job(document).nodes == by_text.nodes


@pytest.mark.parametrize(
    ("sockets", "cores", "cpus", "expected"),
    [
        ("0", "0 1 2 3", 8, (0, 1, 2, 3)),  # one socket: the same patched or not
        ("1", "0 1 2", 6, (4, 5, 6)),  # unpatched: numbered within the socket
        ("1", "4 5 6", 6, (4, 5, 6)),  # patched: numbered within the node
        ("0 1", "0 4", 4, (0, 4)),  # patched
        ("0 1", "0", 4, (0, 4)),  # unpatched, so many CPUs that both sockets hold it
        ("0 1", "0 1 2 3", 16, (0, 1, 2, 3, 4, 5, 6, 7)),  # unpatched, the whole node
        ("0 1", "0 1 2", 8, None),  # unpatched, undecidable: 4 cores, but which?
        ("", "", 0, ()),
    ],
)
def test_cores_of_21_08_are_decoded_or_unknown(
    sockets: str, cores: str, cpus: int, expected: tuple[int, ...] | None
) -> None:
    """21.08 numbers cores within the socket, a patched 21.08 within the node; if unclear, None."""
    assert expected == cores_2108(sockets, cores, cpus)


def test_cores_of_21_08_need_the_size_of_the_node() -> None:
    """Without the size only the first socket is certain; nodes of two sizes give no cores."""
    assert (0, 1) == cores_2108("0", "0 1", 4, None)
    assert cores_2108("1", "0 1", 4, None) is None
    sizes = {"n1": NODE, "n2": replace(NODE, sockets=4)}
    node = {"sockets": {"0": ""}, "cores": {"0": ""}, "cpus": 2}
    document = {"nodes": "n[1-2]", "allocated_nodes": {"0": node, "1": node}}
    found = parse_job_resources(document, [], sizes.get, is_live=True)
    assert [None, None] == [allocation.cores for allocation in found.allocations]


def test_a_pending_job_of_21_08_has_no_nodes() -> None:
    """A requeued job's record still has the resources of the former run; they are ignored."""
    document = record("21.08", "node-fail-requeue")

    assert document["job_resources"]
    assert "PENDING" == job(document).state
    assert ((), ()) == (job(document).nodes, job(document).allocations)


def test_cores_of_22_05_need_the_size_of_a_socket() -> None:
    """22.05 to 23.11 count cores within the socket: without its size only socket 0 is certain."""
    document = record("22.05", "block-sockets", 1)  # cores of socket 1 alone
    assert (4, 5, 6) == job(document).allocations[0].cores
    assert job(document, lambda _name: None).allocations[0].cores is None
    first = record("22.05", "block-sockets", 0)
    assert (0, 1, 2, 3) == job(first, lambda _name: None).allocations[0].cores


@pytest.mark.parametrize(
    ("shared", "whole", "expected"),
    [
        ([], False, Sharing.SHARED),
        ([], True, None),  # the parser of 26.05 does not say whether node or user
        ([], None, None),
        (["none"], True, Sharing.NODE),
        (["user"], True, Sharing.USER),
        (["mcs"], True, Sharing.GROUP),
        (["topo"], True, Sharing.GROUP),
        (["oversubscribe"], False, Sharing.SHARED),
        ("shared", False, Sharing.SHARED),
        (None, False, Sharing.SHARED),
    ],
)
def test_an_empty_shared_field_of_26_05_is_ignored(
    shared: object, whole: object, expected: Sharing | None
) -> None:
    """The default JSON of 26.05 always has `shared: []`: sharing follows from `whole` alone."""
    document = record("26.05", "gpu-two-nodes")
    document["shared"] = shared
    document["job_resources"]["nodes"]["whole"] = whole

    assert expected == job(document).sharing


def test_json_v0_0_44_of_26_05_shows_sharing() -> None:
    """The older JSON version v0.0.44 still has the field `shared` with its old meaning."""
    document = record("26.05", "data-parsers", file="squeue-v0.0.44.json")
    assert Sharing.SHARED == job(document).sharing


@pytest.mark.parametrize(
    ("exclusive", "oversubscribe", "expected"),
    [
        (None, "NO", Sharing.NODE),
        (None, "USER", Sharing.USER),
        (None, "MCS", Sharing.GROUP),
        (None, "TOPO", Sharing.GROUP),
        (None, "OK", Sharing.SHARED),
        (None, "YES", Sharing.SHARED),
        ("NO", "NO", Sharing.SHARED),  # 26.05: NO no longer means whole nodes
        ("NODE", "NO", Sharing.NODE),
        ("USER", "NO", Sharing.USER),
        (None, None, None),
        ("", "", None),
    ],
)
def test_exclusive_has_precedence_over_oversubscribe(
    exclusive: str | None, oversubscribe: str | None, expected: Sharing | None
) -> None:
    """26.05 prints Exclusive, and OverSubscribe=NO there no longer means whole nodes."""
    assert expected == sharing_from_text(exclusive=exclusive, oversubscribe=oversubscribe)


def test_gres_are_unknown_after_the_end() -> None:
    """An empty GRES list in JSON means no GRES while the job runs, and unknown after its end."""
    document = record("24.11", "lifecycle", file="squeue-2-running.json")
    assert () == job(document).allocations[0].gres
    document["job_state"] = ["COMPLETED"]
    assert job(document).allocations[0].gres is None


def test_gres_without_type_and_of_two_types_are_read() -> None:
    """JSON has one GRES text for each node; if it is invalid, the GRES are unknown."""
    (untyped,) = job(record("24.11", "gpu-untyped")).allocations
    assert (Gres(name="gpu", count=2, indices=(0, 1)),) == untyped.gres
    (mixed,) = job(record("24.11", "gpu-mixed-types")).allocations
    assert ("a100", "a40") == tuple(piece.type for piece in mixed.gres or ())
    document = record("24.11", "gpu-untyped")
    for odd in (["gpu:x("], [7], ["a", "b"]):
        document["gres_detail"] = odd
        assert job(document).allocations[0].gres is None


def test_the_start_in_old_sacct_json_is_not_used() -> None:
    """JSON of 21.08 and of 22.05 before 22.05.8 has the eligible time instead of the start."""
    (run,) = sacct_runs(Situation("21.08", "gpu-1of4").files["sacct-ended.json"])
    assert run.start_time is None
    document = Situation("22.05", "gpu-1of4").files["sacct-ended.json"]
    (right,) = sacct_runs(document)
    (wrong,) = sacct_runs(document.replace(b'"release": "22.05.8"', b'"release": "22.05.7"'))
    assert right.start_time is not None
    assert wrong.start_time is None


def test_start_4294967294_is_no_start() -> None:
    """A job that never ran has Slurm's NO_VAL, 0 or null as its start."""
    for series in ("21.08", "22.05", "23.02", "24.11", "26.05"):
        (run,) = sacct_runs(Situation(series, "cancelled-pending").files["sacct.json"])
        assert run.start_time is None
        assert () == run.nodes
    assert [None, None, None, 5] == [instant(t) for t in (0, None, 4294967294, 5)]


def test_the_exit_code_in_sacct_json_is_used_from_23_11() -> None:
    """Older releases print success for every job, so their exit code is not used."""
    codes = {
        series: sacct_runs(Situation(series, "failed-exit3").files["sacct.json"])[0].exit_code
        for series in ("21.08", "22.05", "23.02", "23.11", "26.05")
    }
    assert {"21.08": None, "22.05": None, "23.02": None, "23.11": "3:0", "26.05": "3:0"} == codes


def test_rows_of_a_resized_run_keep_their_states() -> None:
    """From 23.11 on sacct's JSON prints `PENDING` before RESIZING; RESIZING is the state."""
    runs = sacct_runs(Situation("24.11", "resized").files["sacct-ended.json"])
    assert ["RESIZING", "COMPLETED"] == [run.state for run in runs]
    assert all(run.end_time for run in runs)


def test_expected_times_of_pending_and_running_jobs_are_ignored() -> None:
    """A start estimated by backfill and an end by the time limit are not facts."""
    for series in ("21.08", "26.05"):
        running, waiting = (record(series, "pending-start-estimate", place) for place in (0, 1))
        if "RUNNING" not in running["job_state"]:
            running, waiting = waiting, running
        assert number(waiting["start_time"])
        assert (None, None) == (job(waiting).start_time, job(waiting).end_time)
        assert number(running["end_time"])
        assert job(running).end_time is None


def test_memory_in_text_is_converted_to_mebibytes() -> None:
    """`62.50G` per node and `2T` per CPU become numbers as in JSON."""
    situation = Situation("22.05", "mem-zero")
    (found,) = text_jobs(situation, "").values()
    assert isinstance(found, Job)
    assert found.requested_memory is None
    record_text = situation.files["scontrol.txt"].decode()
    for words, expected in (("Node=62.50G", "64000M"), ("CPU=2T", "2097152Mc")):
        changed = record_text.replace("MinMemoryNode=0", f"MinMemory{words}")
        assert expected == add_job_detail(found, changed, node_of=node_of).requested_memory

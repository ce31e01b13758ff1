"""The word that cc-backend shows for a node, and the body that reports it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccbackend.node_states import (
    KNOWN_WORDS,
    NodeCondition,
    NodeStatus,
    node_condition,
    nodestate_payload,
)
from ccbackend.version import Version, server_info

BASES = ("ALLOCATED", "MIXED", "IDLE", "DOWN", "ERROR", "UNKNOWN", "FUTURE")
FLAGS = sorted(KNOWN_WORDS - {*BASES})


def condition(text: str, *, has_jobs: bool = False) -> str | None:
    """Return the word for a state such as `IDLE+DRAIN`."""
    return node_condition(frozenset(text.split("+")), has_jobs=has_jobs)


@pytest.mark.parametrize(
    ("states", "word"),
    [
        ("FUTURE FUTURE+CLOUD", None),
        ("DOWN DOWN+NOT_RESPONDING DOWN+MAINTENANCE+RESERVED DOWN+REBOOT_ISSUED", "down"),
        ("DOWN+COMPLETING DOWN+BLOCKED ERROR ERROR+DRAIN DOWN+CLOUD+POWERED_DOWN", "down"),
        ("ALLOCATED ALLOCATED+DRAIN ALLOCATED+COMPLETING ALLOCATED+RESERVED", "allocated"),
        ("ALLOCATED+DRAIN+REBOOT_REQUESTED ALLOCATED+MAINTENANCE+RESERVED", "allocated"),
        ("ALLOCATED+CLOUD+NOT_RESPONDING+POWERING_UP ALLOCATED+FAIL", "allocated"),
        ("MIXED MIXED+DRAIN MIXED+FAIL MIXED+PLANNED MIXED+BLOCKED MIXED+RESERVED", "mixed"),
        ("MIXED+COMPLETING MIXED+POWER_DOWN MIXED+NOT_RESPONDING+POWERING_UP", "mixed"),
        ("IDLE+COMPLETING IDLE+COMPLETING+DRAIN IDLE+COMPLETING+NOT_RESPONDING", "allocated"),
        ("IDLE+DRAIN IDLE+FAIL IDLE+INVALID_REG IDLE+DRAIN+PLANNED IDLE+DRAIN+RESERVED", "down"),
        ("UNKNOWN+DRAIN UNKNOWN+DRAIN+INVALID_REG UNKNOWN+FAIL", "down"),
        ("IDLE+CLOUD+POWERED_DOWN IDLE+POWERING_DOWN IDLE+POWER_DOWN IDLE+POWER_UP", "down"),
        ("IDLE+NOT_RESPONDING+POWERING_UP UNKNOWN+NOT_RESPONDING+POWERING_UP", "down"),
        ("IDLE+MAINTENANCE+RESERVED UNKNOWN+MAINTENANCE IDLE+REBOOT_ISSUED", "down"),
        ("UNKNOWN UNKNOWN+NOT_RESPONDING UNKNOWN+RESERVED UNKNOWN+COMPLETING", "unknown"),
        ("IDLE+NOT_RESPONDING IDLE+NOT_RESPONDING+PLANNED IDLE+NOT_RESPONDING+RESERVED", "unknown"),
        ("IDLE+RESERVED IDLE+RESERVED+PLANNED IDLE+BLOCKED", "reserved"),
        (
            "IDLE IDLE+PLANNED IDLE+CLOUD IDLE+DYNAMIC_NORM IDLE+DYNAMIC_FUTURE IDLE+EXTERNAL",
            "idle",
        ),
        ("IDLE+REBOOT_REQUESTED IDLE+CANCEL_REBOOT IDLE+PERFCTRS IDLE+RESUME IDLE+UNDRAIN", "idle"),
        ("IDLE+SOMETHING_NEW", "idle"),
        ("SOMETHING_NEW SOMETHING_NEW+DRAIN", "unknown"),
    ],
)
def test_slurm_node_states_are_mapped_to_those_of_cc_backend(states: str, word: str | None) -> None:
    """Jobs have precedence over flags; an empty node that is out of service is down."""
    assert {word} == {condition(each) for each in states.split()}


@pytest.mark.parametrize(
    ("state", "word"),
    [("IDLE", "mixed"), ("IDLE+DRAIN", "mixed"), ("IDLE+COMPLETING", "allocated"),
     ("UNKNOWN", "unknown"), ("DOWN", "down"), ("ALLOCATED", "allocated")],
)  # fmt: skip
def test_a_suspended_job_makes_an_idle_node_mixed(state: str, word: str) -> None:
    """Slurm 22.05 shows a node with a suspended job as IDLE, later releases as MIXED."""
    assert word == condition(state, has_jobs=True)


@given(
    base=st.sampled_from(BASES),
    flags=st.sets(st.sampled_from(FLAGS) | st.text("ABC_", min_size=1)),
    has_jobs=st.booleans(),
)
def test_every_combination_but_future_gives_one_node_state(
    base: str, flags: set[str], *, has_jobs: bool
) -> None:
    """DOWN and ERROR give down; ALLOCATED and MIXED stay, whatever the flags are."""
    found = node_condition(frozenset({base, *flags}), has_jobs=has_jobs)

    assert (found is None) == (base == "FUTURE")
    if base in {"DOWN", "ERROR"}:
        assert NodeCondition.DOWN is found
    if base in {"ALLOCATED", "MIXED"}:
        assert base.lower() == found


def test_a_report_has_one_state_and_whole_numbers_per_node() -> None:
    """cc-backend refuses any other key, and numbers that are not whole."""
    node = NodeStatus(
        host="n1", condition=NodeCondition.MIXED, cpus=8, memory_mb=9000, gpus=2, jobs=3
    )

    assert {
        "cluster": "lab",
        "nodes": [
            {
                "hostname": "n1",
                "states": ["mixed"],
                "cpusAllocated": 8,
                "memoryAllocated": 9000,
                "gpusAllocated": 2,
                "jobsRunning": 3,
            }
        ],
    } == json.loads(json.dumps(nodestate_payload("lab", [node])))


@pytest.mark.parametrize(("version", "takes"), [((1, 4, 4), False), ((1, 5, 0), True)])
def test_servers_accept_node_states_from_1_5(version: tuple[int, int, int], *, takes: bool) -> None:
    """A server of unknown version is sent a report of node states, too."""
    assert takes == server_info(Version(*version)).takes_node_states
    assert server_info(None).takes_node_states

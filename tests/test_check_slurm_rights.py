"""Checks of our rights in Slurm: hidden jobs, hidden accounting and unreadable scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slurm.cluster_survey import Rights
from slurm.decode.job_rows import SqueueRow
from slurm.decode.scontrol_nodes import Node
from spool.checks.result import CheckStatus
from spool.preflight.visibility import (
    check_accounting_visibility,
    check_job_visibility,
    check_script_access,
    other_users_job,
)


def rights(**fields: Any) -> Rights:
    """Return the rights of an ordinary account on a cluster that hides nothing."""
    usual: dict[str, Any] = {
        "user": "bob",
        "uid": 20002,
        "slurm_user": "slurm",
        "admin_level": None,
        "hidden": frozenset(),
        "hidden_accounting": frozenset(),
    }
    return Rights(**{**usual, **fields})


def job(job_id: int = 7, **fields: Any) -> SqueueRow:
    """Return a running job of alice."""
    usual: dict[str, Any] = {
        "job_id": job_id,
        "array_job_id": job_id,
        "state": "RUNNING",
        "start_time": 1000,
        "submit_time": 1000,
        "partition": "cpu",
        "user": "alice",
        "account": "k1000",
        "nodes": "n[1-2]",
    }
    return SqueueRow(**{**usual, **fields})


def node(name: str, held: int) -> Node:
    """Return a node with some allocated CPUs."""
    return Node(name=name, sockets=1, cores_per_socket=8, allocated_cpus=held)


PRIVATE = frozenset({"jobs"})


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "PrivateData hides no jobs"),
        ({"uid": 0, "user": "root", "hidden": PRIVATE}, "as root"),
        ({"user": "slurm", "hidden": PRIVATE}, "as SlurmUser slurm"),
        ({"admin_level": "Operator", "hidden": PRIVATE}, "bob is Operator"),
    ],
)
def test_the_reason_why_all_jobs_are_visible_is_shown(fields: dict[str, Any], why: str) -> None:
    """Root, SlurmUser and an operator see all jobs; without PrivateData=jobs every user does."""
    found = check_job_visibility(
        rights(**fields), [node("n1", 2)], [job(), job(8, user="bob", nodes="")]
    )
    assert CheckStatus.OK is found.status
    assert found.text.endswith(f"of other users ({why})")


def test_a_user_without_rights_is_critical() -> None:
    """With PrivateData=jobs Slurm omits hidden jobs from its answers and reports no error."""
    found = check_job_visibility(rights(hidden=PRIVATE), [], [])
    assert CheckStatus.CRITICAL is found.status
    assert "adminlevel=Operator" in found.hint
    assert "SlurmUser" in found.hint


def test_allocated_nodes_prove_hidden_jobs() -> None:
    """CPUs allocated to no visible job belong to a hidden one, whatever the settings are."""
    nodes = [node(f"n{i}", 4) for i in range(1, 6)] + [node("n9", 0)]
    found = check_job_visibility(rights(), nodes, [job(), job(8, nodes="n[")])
    assert CheckStatus.CRITICAL is found.status
    assert "3 nodes have allocated CPUs, but bob sees no job on n3, n4, n5" == found.text


def test_access_to_accounting_is_tested_by_rights_and_by_a_job() -> None:
    """A job that squeue shows and sacct does not show is hidden, or accounting is late."""
    shown = check_accounting_visibility(rights(), job())
    assert (CheckStatus.OK, "sacct shows job 7 of alice (PrivateData hides no jobs)") == (
        shown.status,
        shown.text,
    )
    assert CheckStatus.OK is check_accounting_visibility(rights(), None).status
    late = check_accounting_visibility(rights(), job(), is_shown=False)
    assert (CheckStatus.WARNING, True) == (
        late.status,
        late.hint.startswith("accounting may be late"),
    )
    hidden = check_accounting_visibility(rights(hidden_accounting=PRIVATE), None)
    assert CheckStatus.CRITICAL is hidden.status


@pytest.mark.parametrize(
    ("fields", "how", "verdict", "words"),
    [
        ({}, {"wanted": False}, CheckStatus.OK, "are not sent"),
        ({}, {}, CheckStatus.WARNING, "neither by scontrol nor in /ctld"),
        ({}, {"denied": True}, CheckStatus.WARNING, "may not read batch scripts"),
        (
            {},
            {"denied": False},
            CheckStatus.OK,
            "scontrol reads them, because /ctld is unreadable",
        ),
        ({"admin_level": "Operator"}, {}, CheckStatus.OK, "they can contain secrets"),
        ({"admin_level": "Operator"}, {"denied": True}, CheckStatus.WARNING, "may not read"),
        ({}, {"can_open": True, "denied": True}, CheckStatus.OK, "are read from /ctld"),
    ],
)
def test_access_to_scripts_is_tested_or_derived_from_rights(
    fields: dict[str, Any], how: dict[str, Any], verdict: CheckStatus, words: str
) -> None:
    """If reading a script was tried, that result counts; otherwise the rights of the user count."""
    (found,) = check_script_access(
        rights(**fields), **{"wanted": True, "state_save": Path("/ctld"), **how}
    )
    assert verdict is found.status
    assert words in found.text
    assert (verdict is CheckStatus.WARNING) == ("metadata.job_script to false" in found.hint)


def test_the_oldest_job_of_another_user_is_looked_up() -> None:
    """The check asks sacct for the job with the earliest start, as sacct can lack a newer one."""
    jobs = [job(1, user="bob"), job(2, state="PENDING", start_time=None), job(3, start_time=9)]
    assert job(3, start_time=9) == other_users_job(rights(), [*jobs, job(4)])
    assert other_users_job(rights(), jobs[:2]) is None
    assert job(5, start_time=None) == other_users_job(rights(), [job(4), job(5, start_time=None)])

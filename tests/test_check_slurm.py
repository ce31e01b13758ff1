"""Checks of Slurm's commands and setup, with made-up values."""

from __future__ import annotations

from typing import Any

import pytest

from slurm.decode.scontrol_config import has_accounting
from slurm.decode.scontrol_nodes import Node
from slurm.release import Release
from spool.checks.result import CheckResult, CheckStatus
from spool.preflight.slurm_setup import (
    check_accounting,
    check_commands,
    check_controller_host,
    check_gres,
    check_hook_timeouts,
    check_min_job_age,
    check_sources,
)

OLD, NEW = Release(22, 5, 8), Release(24, 11, 5)
DBD = {"AccountingStorageType": ("accounting_storage/slurmdbd",)}
NONE = {"AccountingStorageType": ("accounting_storage/none",)}
GPU_NODE = Node(
    name="g1", sockets=1, cores_per_socket=8, devices=(("gpu", "", 4), ("shard", "", 8))
)


def reported(results: Any) -> list[tuple[str, CheckStatus]]:
    """Return the name and status of each result."""
    return [(result.name, result.status) for result in results]


def commands(versions: dict[str, Release | str], **how: Any) -> dict[str, CheckResult]:
    """Return the results for commands with a controller of release 22.05."""
    how.setdefault("json", True)
    config = how.pop("config", {"SLURM_VERSION": ("22.05.8",)})
    return {result.name: result for result in check_commands(versions, config, **how)}


def test_commands_of_one_release_have_no_problem() -> None:
    """squeue, sacct and slurmctld all have release 22.05.8."""
    found = commands({"squeue": OLD, "sacct": OLD})
    assert {CheckStatus.OK} == {result.status for result in found.values()}
    assert "squeue, sacct: 22.05.8" == found["slurm commands"].text
    assert "slurmctld runs release 22.05.8" == found["slurm release"].text


def test_different_slurm_releases_give_warnings() -> None:
    """For example, squeue has 24.11.5, but sacct and slurmctld have 22.05.8."""
    found = commands({"squeue": NEW, "sacct": OLD})
    assert "releases differ: squeue 24.11.5, sacct 22.05.8" == found["slurm commands"].text
    assert "the commands have release 24.11.5, slurmctld has 22.05.8" == found["slurm release"].text
    assert {"slurm commands", "slurm release"} == {
        name for name, result in found.items() if result.status is CheckStatus.WARNING
    }


@pytest.mark.parametrize(
    ("name", "verdict"), [("squeue", CheckStatus.CRITICAL), ("sacctmgr", CheckStatus.WARNING)]
)
def test_a_missing_command_is_reported_with_its_key(name: str, verdict: CheckStatus) -> None:
    """A missing squeue is critical; a missing sacctmgr only hides our rights, a warning."""
    found = commands({name: f"cannot run /usr/bin/{name}"}, config={})
    assert verdict is found["slurm commands"].status
    assert f"slurm.{name}" in found["slurm commands"].hint
    assert "slurm release" not in found


def test_a_controller_that_hides_its_release_is_unknown() -> None:
    """Without SLURM_VERSION the commands' release cannot be compared with slurmctld's."""
    found = commands({"squeue": OLD}, config={"ClusterName": ("lab",)})
    assert CheckStatus.UNKNOWN is found["slurm release"].status


@pytest.mark.parametrize(
    ("json", "verdict"),
    [(True, CheckStatus.OK), (False, CheckStatus.WARNING), ("no answer", CheckStatus.UNKNOWN)],
)
def test_missing_json_is_a_warning(*, json: bool | str, verdict: CheckStatus) -> None:
    """A build of Slurm without json-c cannot write JSON."""
    assert verdict is commands({"squeue": OLD}, json=json)["slurm json"].status


@pytest.mark.parametrize(
    ("hosts", "host", "verdict"),
    [
        (("ctl01",), "ctl01", CheckStatus.OK),
        (("ctl01(10.0.0.1)", "ctl02.site"), "ctl02.other", CheckStatus.OK),
        (("ctl01",), "login", CheckStatus.WARNING),
        ((), "login", CheckStatus.WARNING),
    ],
)
def test_a_spool_that_is_not_on_a_controller_gives_a_warning(
    hosts: tuple[str, ...], host: str, verdict: CheckStatus
) -> None:
    """The hooks run on slurmctld's host; the check looks for its own host in SlurmctldHost."""
    assert verdict is check_controller_host({"SlurmctldHost": hosts}, host).status


def test_own_host_name_is_compared_by_default() -> None:
    """If no host is given, the check compares the machine's own name with SlurmctldHost."""
    assert CheckStatus.WARNING is check_controller_host({"SlurmctldHost": ("?",)}).status


@pytest.mark.parametrize(
    ("age", "accounting", "verdict"),
    [
        ("300 sec", DBD, CheckStatus.OK),
        ("59 sec", DBD, CheckStatus.WARNING),
        ("60 sec", DBD, CheckStatus.OK),
        ("0 sec", NONE, CheckStatus.OK),
        ("599 sec", NONE, CheckStatus.WARNING),
        ("600 sec", NONE, CheckStatus.OK),
        ("", NONE, CheckStatus.OK),
    ],
)
def test_the_controller_must_keep_ended_jobs_for_long_enough(
    age: str, accounting: dict[str, tuple[str, ...]], verdict: CheckStatus
) -> None:
    """MinJobAge must be at least 60 s, or 600 s without accounting; 0 means for ever."""
    assert verdict is check_min_job_age({"MinJobAge": (age,), **accounting}).status


@pytest.mark.parametrize(
    ("config", "verdict", "text"),
    [
        ({"PrologEpilogTimeout": ("65534",)}, CheckStatus.OK, "no limit is set"),
        ({"PrologEpilogTimeout": ("60 sec",)}, CheckStatus.OK, "PrologEpilogTimeout 60 s"),
        ({"PrologTimeout": ("4 sec",)}, CheckStatus.WARNING, "PrologTimeout is 4 s"),
        ({}, CheckStatus.OK, "no limit is set"),
    ],
)
def test_a_short_hook_timeout_is_a_warning(
    config: dict[str, tuple[str, ...]], verdict: CheckStatus, text: str
) -> None:
    """PrologTimeout of 4 s is too short: on a busy host even a shell starts slowly."""
    found = check_hook_timeouts(config)
    assert (verdict, text) == (found.status, found.text)


def test_missing_accounting_is_a_warning() -> None:
    """Without accounting the end of a job can be proven only for a limited time."""
    assert [CheckStatus.OK, CheckStatus.WARNING] == [
        check_accounting(DBD).status,
        check_accounting(NONE).status,
    ]
    assert not has_accounting({})


@pytest.mark.parametrize(
    ("tracked", "verdict"),
    [
        ("cpu,mem,gres/gpu,gres/gpu:a100", CheckStatus.OK),
        ("cpu,mem,gres/gpumem", CheckStatus.WARNING),
    ],
)
def test_accelerators_must_be_in_accounting(tracked: str, verdict: CheckStatus) -> None:
    """Kinds of configured accelerators that nodes have must be in AccountingStorageTRES."""
    found = check_gres({"AccountingStorageTRES": (tracked,)}, [GPU_NODE], ("gpu",))
    assert verdict is found.status
    assert CheckStatus.OK is check_gres({}, [GPU_NODE], ("fpga",)).status


@pytest.mark.parametrize(
    ("release", "words"),
    [
        (Release(21, 8, 8), "the hooks, with the job id only"),
        (OLD, "text: `squeue -j IDS`"),
        (Release(23, 2), "the hooks, with job id, start and end"),
        (Release(26, 5, 3), "squeue's JSON with `-j IDS`, `--json=v0.0.44`"),
    ],
)
def test_the_sources_of_data_depend_on_the_release(release: Release, words: str) -> None:
    """For example, Slurm 21.08 gives the hooks only the job id, 23.02 also start and end."""
    found = [*check_sources(release)]
    assert any(words in result.text for result in found)
    assert [("source of events", CheckStatus.OK)] == reported(found[:1])

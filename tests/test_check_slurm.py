"""Checks of Slurm's setup and of our rights, by values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slurm.cluster_survey import Rights
from slurm.decode.job_rows import SqueueRow
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
from spool.preflight.visibility import (
    check_accounting_visibility,
    check_job_visibility,
    check_script_access,
    other_users_job,
)

OLD, NEW = Release(22, 5, 8), Release(24, 11, 5)
DBD = {"AccountingStorageType": ("accounting_storage/slurmdbd",)}
NONE = {"AccountingStorageType": ("accounting_storage/none",)}
GPU_NODE = Node(name="g1", sockets=1, cores_per_socket=8, gres=(("gpu", 4), ("shard", 8)))


def told(results: Any) -> list[tuple[str, CheckStatus]]:
    """Return names and verdicts."""
    return [(result.name, result.status) for result in results]


def commands(versions: dict[str, Release | str], **how: Any) -> dict[str, CheckResult]:
    """Return the verdicts on commands beside a controller of 22.05."""
    how.setdefault("json", True)
    config = how.pop("config", {"SLURM_VERSION": ("22.05.8",)})
    return {result.name: result for result in check_commands(versions, config, **how)}


# ---- commands


def test_commands_of_one_release_are_well() -> None:
    """Beside a controller of the same series."""
    found = commands({"squeue": OLD, "sacct": OLD})
    assert {CheckStatus.OK} == {result.status for result in found.values()}
    assert "squeue, sacct: 22.05.8" == found["slurm commands"].text
    assert "slurmctld has release 22.05.8" == found["slurm release"].text


def test_commands_may_differ_from_each_other_and_from_the_controller() -> None:
    """Both are worth a look."""
    found = commands({"squeue": NEW, "sacct": OLD})
    assert "releases differ: squeue 24.11.5, sacct 22.05.8" == found["slurm commands"].text
    assert "the commands have release 24.11.5, slurmctld has 22.05.8" == found["slurm release"].text
    assert {"slurm commands", "slurm release"} == {
        name for name, result in found.items() if result.status is CheckStatus.WARNING
    }


@pytest.mark.parametrize(
    ("name", "verdict"), [("squeue", CheckStatus.CRITICAL), ("sacctmgr", CheckStatus.WARNING)]
)
def test_missing_command_is_told_with_its_key(name: str, verdict: CheckStatus) -> None:
    """Without sacctmgr our rights alone stay unknown."""
    found = commands({name: f"cannot run /usr/bin/{name}"}, config={})
    assert verdict is found["slurm commands"].status
    assert f"slurm.{name}" in found["slurm commands"].hint
    assert "slurm release" not in found


def test_controller_that_hides_its_release_is_unknown() -> None:
    """No number, no verdict."""
    found = commands({"squeue": OLD}, config={"ClusterName": ("lab",)})
    assert CheckStatus.UNKNOWN is found["slurm release"].status


@pytest.mark.parametrize(
    ("json", "verdict"),
    [(True, CheckStatus.OK), (False, CheckStatus.WARNING), ("no answer", CheckStatus.UNKNOWN)],
)
def test_json_may_be_missing(json: bool | str, verdict: CheckStatus) -> None:  # noqa: FBT001 - a table
    """A build without json-c cannot write it."""
    assert verdict is commands({"squeue": OLD}, json=json)["slurm json"].status


# ---- setup


@pytest.mark.parametrize(
    ("hosts", "host", "verdict"),
    [
        (("ctl01",), "ctl01", CheckStatus.OK),
        (("ctl01(10.0.0.1)", "ctl02.site"), "ctl02.other", CheckStatus.OK),
        (("ctl01",), "login", CheckStatus.WARNING),
        ((), "login", CheckStatus.WARNING),
    ],
)
def test_spool_belongs_on_a_controller(
    hosts: tuple[str, ...], host: str, verdict: CheckStatus
) -> None:
    """Hooks run there alone."""
    assert verdict is check_controller_host({"SlurmctldHost": hosts}, host).status


def test_own_host_name_is_compared_by_default() -> None:
    """It is none of made-up controllers."""
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
def test_controller_must_remember_for_long_enough(
    age: str, accounting: dict[str, tuple[str, ...]], verdict: CheckStatus
) -> None:
    """Without accounting until the next sweep; 0 is for ever."""
    assert verdict is check_min_job_age({"MinJobAge": (age,), **accounting}).status


@pytest.mark.parametrize(
    ("config", "verdict", "text"),
    [
        ({"PrologEpilogTimeout": ("65534",)}, CheckStatus.OK, "none"),
        ({"PrologEpilogTimeout": ("60 sec",)}, CheckStatus.OK, "PrologEpilogTimeout 60 s"),
        ({"PrologTimeout": ("4 sec",)}, CheckStatus.WARNING, "PrologTimeout is 4 s"),
        ({}, CheckStatus.OK, "none"),
    ],
)
def test_hooks_must_have_time(
    config: dict[str, tuple[str, ...]], verdict: CheckStatus, text: str
) -> None:
    """On a busy host even a shell takes its time to start."""
    found = check_hook_timeouts(config)
    assert (verdict, text) == (found.status, found.text)


def test_accounting_may_be_missing() -> None:
    """Then ends cannot be proven for ever."""
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
def test_accelerators_should_be_counted(tracked: str, verdict: CheckStatus) -> None:
    """Only what nodes have and the site calls an accelerator."""
    found = check_gres({"AccountingStorageTRES": (tracked,)}, [GPU_NODE], ("gpu",))
    assert verdict is found.status
    assert CheckStatus.OK is check_gres({}, [GPU_NODE], ("fpga",)).status


@pytest.mark.parametrize(
    ("release", "words"),
    [
        (Release(21, 8, 8), "the hooks: only the job id"),
        (OLD, "text: `squeue -j IDS`"),
        (Release(23, 2), "the hooks: job id, start and end"),
        (Release(26, 5, 3), "JSON with `-j IDS`, `--json=v0.0.44`"),
    ],
)
def test_sources_are_told_by_release(release: Release, words: str) -> None:
    """One line each."""
    found = [*check_sources(release)]
    assert any(words in result.text for result in found)
    assert [("source of events", CheckStatus.OK)] == told(found[:1])


# ---- rights


def rights(**fields: Any) -> Rights:
    """Return those of an ordinary account on a cluster without secrets."""
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
    """Return a node of which jobs hold some CPUs."""
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
def test_account_that_sees_all_jobs_says_why(fields: dict[str, Any], why: str) -> None:
    """Three ways lead there."""
    found = check_job_visibility(
        rights(**fields), [node("n1", 2)], [job(), job(8, user="bob", nodes="")]
    )
    assert CheckStatus.OK is found.status
    assert found.text.endswith(f"of other users; {why}")


def test_account_without_rights_is_told() -> None:
    """Slurm itself does not refuse: its answers are only shorter."""
    found = check_job_visibility(rights(hidden=PRIVATE), [], [])
    assert CheckStatus.CRITICAL is found.status
    assert "adminlevel=Operator" in found.hint
    assert "SlurmUser" in found.hint


def test_nodes_prove_hidden_jobs_whatever_the_settings_say() -> None:
    """CPUs that no job holds are held by one that we do not see."""
    nodes = [node(f"n{i}", 4) for i in range(1, 6)] + [node("n9", 0)]
    found = check_job_visibility(rights(), nodes, [job(), job(8, nodes="n[")])
    assert CheckStatus.CRITICAL is found.status
    assert "3 nodes have allocated CPUs, but bob sees no job on n3, n4, n5" == found.text


def test_accounting_is_judged_by_rights_and_by_a_job() -> None:
    """A job that squeue shows and sacct does not is hidden, or late."""
    shown = check_accounting_visibility(rights(), job())
    assert (CheckStatus.OK, "sacct shows job 7 of alice; PrivateData hides no jobs") == (
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
            "are read by scontrol, because /ctld is unreadable,",
        ),
        ({"admin_level": "Operator"}, {}, CheckStatus.OK, "they can contain secrets"),
        ({"admin_level": "Operator"}, {"denied": True}, CheckStatus.WARNING, "may not read"),
        ({}, {"can_open": True, "denied": True}, CheckStatus.OK, "are read from /ctld"),
    ],
)
def test_scripts_are_readable_or_not(
    fields: dict[str, Any], how: dict[str, Any], verdict: CheckStatus, words: str
) -> None:
    """By what was tried, else by the rights."""
    (found,) = check_script_access(
        rights(**fields), **{"wanted": True, "state_save": Path("/ctld"), **how}
    )
    assert verdict is found.status
    assert words in found.text
    assert (verdict is CheckStatus.WARNING) == ("metadata.job_script to false" in found.hint)


def test_longest_running_job_of_another_user_is_asked_for() -> None:
    """It is known to accounting for longest."""
    jobs = [job(1, user="bob"), job(2, state="PENDING", start_time=None), job(3, start_time=9)]
    assert job(3, start_time=9) == other_users_job(rights(), [*jobs, job(4)])
    assert other_users_job(rights(), jobs[:2]) is None
    assert job(5, start_time=None) == other_users_job(rights(), [job(4), job(5, start_time=None)])

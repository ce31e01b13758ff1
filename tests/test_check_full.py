"""`cc-spool check --full`: its requests to Slurm and cc-backend, also when they do not answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from check_command_site import verdicts, working_site
from check_world import DBD, LAB, NODE_26, TOPOLOGY, Scripted, clusters
from command_site import CommandSite

from ccbackend.outcomes import Reason
from slurm.errors import FailureReason, SlurmError
from slurm.process import CommandResult
from spool.checks.result import CheckResult, CheckStatus
from spool.config import load
from spool.identity import open_token
from spool.preflight.full_check import full_check_results
from spool.preflight.permissions import SystemUser

CONFIG = """\
Configuration data as of 2026-11-22T06:35:20
AccountingStorageTRES   = cpu,mem,gres/gpu
AccountingStorageType   = accounting_storage/slurmdbd
ClusterName             = lab
MinJobAge               = 300 sec
PrivateData             = none
PrologSlurmctld         = /none/prolog
SLURM_VERSION           = 22.05.8
SlurmUser               = root(0)
SlurmctldHost[0]        = ctl01

Slurmctld(primary) at ctl01 is UP
"""
LISTED = "7|7|N/A|RUNNING|1000|2000|900|1|cpu|alice|k1000|n2gpu01\n"


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site whose drain works."""
    return working_site(tmp_path)


class SlurmCommands:
    """A runner with an answer for each command; the longest matching prefix is used."""

    def __init__(self, changes: dict[str, Any]) -> None:
        self.answers: dict[str, Any] = {
            "squeue --version": b"slurm-wlm 22.05.8\n",
            "scontrol --version": b"slurm-wlm 22.05.8\n",
            "sacct --version": b"slurm-wlm 22.05.8\n",
            "sacctmgr --version": b"slurm-wlm 22.05.8\n",
            "scontrol show config": CONFIG.encode(),
            "scontrol -a show node": NODE_26,
            "scontrol write batch_script": b"#!/bin/sh\n\0",
            "squeue --local --json": b'{"meta": {}}',
            "squeue --local -a": LISTED.encode(),
            "sacctmgr -n -P show user": b"",
            "sacctmgr show configuration": DBD.replace(b"jobs,usage", b"none"),
            "sacct -a -X": b"alice\n",
            **changes,
        }

    def __call__(self, argv: Any, **_: Any) -> CommandResult:
        """Answer one command."""
        question = " ".join([Path(argv[0]).name, *argv[1:]])
        fitting = [known for known in self.answers if question.startswith(known)]
        answer = self.answers[max(fitting, key=len)]
        if isinstance(answer, SlurmError):
            raise answer
        return CommandResult(
            tuple(argv), *(answer if isinstance(answer, tuple) else (0, answer, b""))
        )


BOB = SystemUser(name="bob", uid=20002, gids=frozenset({20002}))
GPU_LAB = {**LAB, "subClusters": [{"name": "gpu", "topology": TOPOLOGY, "nodes": "n2gpu[01-02]"}]}
AWAY = SlurmError("does not answer", reason=FailureReason.UNREACHABLE)


def full(
    site: CommandSite, changes: dict[str, Any] | None = None, server: Scripted | None = None
) -> dict[str, CheckResult]:
    """Return the results of the full check, by name."""
    config = load(site.config)
    if server is None:
        server = Scripted()
        server.known = clusters(GPU_LAB)
    runner = SlurmCommands(changes or {})
    results = full_check_results(
        config, open_token(config), runner=runner, backend=server, user=BOB
    )
    assert server.closed
    return {result.name: result for result in results}


def test_full_check_queries_slurm_and_cc_backend(site: CommandSite) -> None:
    """Every check that is possible gives a result."""
    found = full(site)
    assert {
        *("server", "server token", "server job API", "server listing", "server cluster"),
        *("slurm commands", "slurm release", "slurm json", "controller", "job retention"),
        *("PrologSlurmctld", "EpilogSlurmctld", "spool", "hook time limit", "accounting"),
        "last event",
        *("gres tracking", "jobs seen", "accounting seen", "scripts"),
        *("hosts", "cores", "accelerators"),
    } == {name for name in found if not name.startswith("source of ")}
    assert "sacct shows job 7 of alice" in found["accounting seen"].text
    assert "scontrol reads them" in found["scripts"].text
    assert CheckStatus.WARNING is found["cores"].status  # 4 cores there, 8 in Slurm
    assert "gpuPciAddrs has no addresses" in found["accelerators"].text


RESETTING = "error: NodeNames=n2cn[001-004] CPUs=13 match no Sockets. Resetting CPUs."


@pytest.mark.parametrize(
    ("questions", "shown"),
    [
        ((), []),
        (("sacctmgr show configuration",), [f"sacctmgr: {RESETTING}"]),
        (("scontrol show config", "sacct -a -X", "squeue --local -a"), [f"squeue: {RESETTING}"]),
    ],
)
def test_full_check_shows_stderr_lines_of_successful_commands(
    site: CommandSite, questions: tuple[str, ...], shown: list[str]
) -> None:
    """A line that several Slurm commands write to stderr is shown once, as a warning."""
    usual = SlurmCommands({}).answers
    answers = {
        question: (0, usual[question], f"{question.split()[0]}: {RESETTING}\n".encode())
        for question in questions
    }
    config = load(site.config)
    found = full_check_results(
        config, open_token(config), runner=SlurmCommands(answers), backend=Scripted(), user=BOB
    )

    lines = [result for result in found if result.name == "slurm messages"]
    assert shown == [line.text for line in lines]
    assert {CheckStatus.WARNING} >= {line.status for line in lines}


def test_full_check_continues_without_the_controller(site: CommandSite) -> None:
    """The commands and the server are still checked."""
    found = full(site, {"scontrol show config": AWAY, "squeue --version": AWAY})
    assert CheckStatus.CRITICAL is found["slurm"].status
    assert CheckStatus.UNKNOWN is found["slurm json"].status
    assert CheckStatus.OK is found["server"].status
    assert "hosts" not in found


def test_full_check_continues_without_squeue(site: CommandSite) -> None:
    """Results that need squeue's release are omitted."""
    found = full(site, {"squeue --version": AWAY})
    assert CheckStatus.UNKNOWN is found["slurm json"].status
    assert "source of events" not in found
    assert "jobs seen" in found


def test_full_check_reports_each_query_without_answer(site: CommandSite) -> None:
    """Each query of Slurm that fails gives one UNKNOWN result, and the other checks continue."""
    found = full(
        site,
        {
            "squeue --local -a": AWAY,
            "squeue --local --json": AWAY,
            "scontrol -a show node": AWAY,
            "sacctmgr -n -P show user": AWAY,
        },
    )
    assert {CheckStatus.UNKNOWN} == {
        found[name].status for name in ("slurm json", "nodes", "rights", "jobs seen")
    }
    operator = b"bob|Operator\n"
    trusted = {"sacctmgr -n -P show user": operator, "sacctmgr show configuration": AWAY}
    assert "rights" not in full(site, trusted)
    late = full(site, {"sacct -a -X": AWAY, "sacctmgr show configuration": AWAY})
    assert CheckStatus.UNKNOWN is late["accounting seen"].status
    assert CheckStatus.UNKNOWN is late["rights"].status


@pytest.mark.parametrize(
    ("stderr", "files", "verdict"),
    [
        (b"job script retrieval failed: Invalid user id\n", False, CheckStatus.WARNING),
        (b"job script retrieval failed: Invalid user id\n", True, CheckStatus.OK),
        (b"job script retrieval failed: Job script not specified\n", True, CheckStatus.OK),
        (b"Unable to contact slurm controller\n", True, CheckStatus.OK),
    ],
)
def test_full_check_tries_to_read_a_job_script(
    site: CommandSite,
    stderr: bytes,
    *,
    files: bool,
    verdict: CheckStatus,
) -> None:
    """A script is read by scontrol or from StateSaveLocation; no permission is a warning."""
    saved = site.root / "ctld"
    (saved / "hash.0").mkdir(parents=True)
    if files:
        site.document["slurm"] = {"state_save_location": str(saved)}
        site.write()
    found = full(site, {"scontrol write batch_script": (1, b"", stderr)})
    assert verdict is found["scripts"].status


def test_full_check_expects_events_only_where_hooks_run(site: CommandSite) -> None:
    """No event is expected on a backup controller or without a hook in slurm.conf."""
    two = CONFIG.replace("= ctl01\n", "= ctl01\nSlurmctldHost[1]        = ctl02\n").encode()
    ping = b"Slurmctld(primary) at ctl01 is UP\nSlurmctld(backup) at ctl02 is UP\n"
    backup = full(site, {"scontrol show config": two, "scontrol ping": ping})
    unknown = full(site, {"scontrol show config": two, "scontrol ping": AWAY})
    no_hook = full(
        site, {"scontrol show config": CONFIG.replace("/none/prolog", "(null)").encode()}
    )

    assert "last event" not in backup
    assert "last event" in unknown
    assert "last event" not in no_hook


def test_full_check_works_without_jobs_or_accounting(site: CommandSite) -> None:
    """Accounting that is off gives a warning; an empty job list is no problem."""
    none = CONFIG.replace("/slurmdbd", "/none").encode()
    found = full(site, {"squeue --local -a": b"", "scontrol show config": none})
    assert "accounting seen" not in found
    assert CheckStatus.WARNING is found["accounting"].status
    empty = full(site, {"squeue --local -a": b""})
    assert CheckStatus.OK is empty["accounting seen"].status


def test_full_check_reads_the_hosts_from_topology_files(site: CommandSite) -> None:
    """cc-backend before 1.3.0 lists no hosts; a readable topology file replaces the list."""
    path = site.root / "cluster.json"
    path.write_text(json.dumps(GPU_LAB))
    server = Scripted(clusters=Reason.FEATURE_ABSENT)
    server.known = None
    assert CheckStatus.UNKNOWN is full(site, server=server)["hosts"].status
    site.document["topology_files"] = [str(path)]
    site.write()
    assert CheckStatus.OK is full(site, server=server)["hosts"].status
    path.write_text("{")
    assert CheckStatus.UNKNOWN is full(site, server=server)["hosts"].status


def test_full_check_continues_with_an_unusable_token(site: CommandSite) -> None:
    """The file has mode 0644; `server token` is OK, because the server accepts the probe."""
    site.token.chmod(0o644)
    assert CheckStatus.OK is full(site)["server token"].status


def test_full_check_command_exits_with_2_without_slurm_and_server(site: CommandSite) -> None:
    """Slurm's commands and the server do not exist: both results are CRITICAL."""
    site.document["slurm"] = {
        name: str(site.root / name) for name in ("squeue", "sacct", "scontrol", "sacctmgr")
    }
    site.write()
    said = site.call("check", "--full", "--json")
    assert 2 == said.code
    found = verdicts(said)
    assert ("CRITICAL", "CRITICAL", "WARNING") == (
        found["server"],
        found["slurm"],
        found["slurm commands"],
    )

"""`cc-spool check`: what a monitoring system gets, and what `--full` asks."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from check_world import DBD, LAB, NODE_26, TOPOLOGY, Scripted, clusters
from command_line import Said
from command_site import CommandSite

from ccbackend.outcomes import Reason
from slurm.errors import FailureReason, SlurmError
from slurm.process import CommandResult
from spool.checks.result import AgeLimits, CheckResult, CheckStatus
from spool.commands.check import CheckContext, local_results
from spool.config import load
from spool.identity import open_token
from spool.preflight import permissions
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
    made = CommandSite(tmp_path)
    made.beacon(
        started=time.time() - 60,
        updated=time.time(),
        destination={"health": "up", "since": 0.0, "reason": ""},
        server={"version": "1.5.4", "dialect": "shared"},
    )
    made.document["spool"]["min_free_bytes"] = 0
    made.write()
    return made


@pytest.fixture
def drain(site: CommandSite) -> Iterator[None]:
    """Hold the drain's lock."""
    fd = os.open(site.state / "drain.lock", os.O_RDWR | os.O_CREAT, 0o640)
    fcntl.flock(fd, fcntl.LOCK_EX)
    yield
    os.close(fd)


def verdicts(said: Said) -> dict[str, str]:
    """Return the verdict of each check."""
    return {check["name"]: check["verdict"] for check in said.json["checks"]}


@pytest.mark.usefixtures("drain")
def test_healthy_site_is_one_line_with_figures(site: CommandSite) -> None:
    """Exit 0; each check stands below."""
    said = site.call("check")
    first, *rest = said.out.splitlines()
    text = "CC_SLURM_SYNC OK - runs: 0 waiting; cc-backend: version 1.5.4, dialect shared"
    text += "; deliveries: 0 in the last hour | "
    assert first.startswith(text)
    assert "'events'=0;;;0; 'events_age'=0s;900;3600;0;" in first
    assert "[OK] dead letters: none" in rest
    assert (0, "") == (said.code, said.err)


@pytest.mark.usefixtures("drain")
def test_limits_are_options(site: CommandSite) -> None:
    """-w and --critical; -c stays the configuration."""
    site.put_event("1-start-5-0-0-1", time=time.time() - 50)
    (site.state / "sweep.json").write_text(json.dumps({"started": time.time()}))
    assert [0, 1, 2] == [
        site.call("check", *limits).code
        for limits in ([], ["-w", 40], ["--warning", 30, "--critical", 40])
    ]
    (site.state / "sweep.json").write_text(json.dumps({"started": time.time() - 50}))
    assert "WARNING" == verdicts(site.call("check", "--json", "--sweep-age", 40))["sweep"]


def leave_an_event(site: CommandSite) -> None:
    """Let a hook have been at work."""
    site.put_event("1-start-5-0-0-1", time=time.time())


def leave_an_archive(site: CommandSite) -> None:
    """Let a run have been delivered."""
    (site.state / "delivered").mkdir()


def leave_a_last_event(site: CommandSite) -> None:
    """Let the drain have seen an event."""
    document = json.loads((site.state / "drain.json").read_text())
    (site.state / "drain.json").write_text(json.dumps(document | {"last_event": 5.0}))


@pytest.mark.usefixtures("drain")
@pytest.mark.parametrize(
    ("leave", "verdict"),
    [
        (lambda _: None, "OK"),
        (leave_an_event, "WARNING"),
        (leave_an_archive, "WARNING"),
        (leave_a_last_event, "WARNING"),
    ],
)
def test_a_sweep_is_missed_as_soon_as_jobs_come(
    site: CommandSite, leave: Callable[[CommandSite], None], verdict: str
) -> None:
    """A new installation has none yet."""
    leave(site)
    assert verdict == verdicts(site.call("check", "--json"))["sweep"]


@pytest.mark.parametrize("limit", ["0", "-1", "x", "inf", "nan"])
def test_limit_must_be_a_number_of_seconds(site: CommandSite, limit: str) -> None:
    """Anything else is wrong usage."""
    said = site.call("check", f"--warning={limit}")
    assert 2 == said.code
    assert "expected a number of seconds" in said.err


def test_missing_drain_is_critical(site: CommandSite) -> None:
    """The lock is free."""
    said = site.call("check", "--json")
    assert 2 == said.code
    assert ("CRITICAL", 2) == (said.json["verdict"], said.json["code"])
    assert "CRITICAL" == verdicts(said)["drain"]


@pytest.mark.usefixtures("drain")
def test_halt_is_seen_at_once(site: CommandSite) -> None:
    """With its reason, in the first line."""
    halted = {"health": "halted", "since": time.time(), "reason": "the token has expired"}
    site.beacon(started=0.0, updated=time.time(), destination=halted, server=None)
    said = site.call("check")
    assert 2 == said.code
    assert said.out.startswith(
        "CC_SLURM_SYNC CRITICAL - cc-backend: deliveries have been halted for "
    )
    assert ": the token has expired | " in said.out


def test_a_missing_configuration_file_is_named(site: CommandSite) -> None:
    """With its path, for the default may not be the one that was meant."""
    site.config.unlink()
    said = site.call("check")
    assert 2 == said.code
    assert f"{site.config}: the file: cannot be read: No such file or directory" in said.out


def test_configuration_problems_are_critical(site: CommandSite) -> None:
    """All of them, as results; not exit 78."""
    site.document |= {"surprise": 1, "clustername": 5}
    site.write()
    said = site.call("check")
    assert 2 == said.code
    assert said.out.count("[CRITICAL] configuration: ") == 2


def test_unusable_places_are_told_with_what_can_still_be_seen(site: CommandSite) -> None:
    """A token that others can read, a spool that is not there."""
    site.token.chmod(0o644)
    (site.spool / "dead").rmdir()
    said = site.call("check", "--json")
    assert 2 == said.code
    found = verdicts(said)
    assert ("CRITICAL", "UNKNOWN", "CRITICAL") == (
        found["configuration"],
        found["spool"],
        found["drain"],
    )
    assert "token" not in found


@pytest.mark.parametrize("name", ["drain.json", "sweep.json"])
@pytest.mark.usefixtures("drain")
def test_damaged_state_is_unknown(site: CommandSite, name: str) -> None:
    """Exit 3."""
    (site.state / name).write_text("{")
    said = site.call("check", "--json")
    assert (3, "UNKNOWN") == (said.code, verdicts(said)[name.removesuffix(".json")])


def test_lock_that_may_not_be_opened_is_unknown(site: CommandSite) -> None:
    """A link there is never followed."""
    (site.state / "drain.lock").symlink_to(site.token)
    assert "UNKNOWN" == verdicts(site.call("check", "--json"))["drain"]


def test_state_directory_may_be_missing(site: CommandSite) -> None:
    """Then there is no account to switch to, and the check says so."""
    for path in site.state.iterdir():
        path.unlink()
    site.state.rmdir()
    said = site.call("check")
    assert 2 == said.code
    assert "spool.state_directory" in said.out


def test_what_another_account_may_not_see_is_unknown(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither alarm nor all-clear."""
    config, real_open = load(site.config), os.open

    def refuse(path: Any, *how: Any, **more: Any) -> int:
        if path == site.token:
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, *how, **more)

    monkeypatch.setattr(os, "open", refuse)
    context = CheckContext(limits=AgeLimits(), now=time.time())
    for uid, verdict in ((0, CheckStatus.UNKNOWN), (1, CheckStatus.CRITICAL)):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: site.state.stat().st_uid + 1 - uid)
        first, *_ = local_results(config, open_token(config), context)
        assert (verdict, "configuration") == (first.status, first.name)


def test_log_file_is_opened(site: CommandSite, tmp_path: Path) -> None:
    """As with every command."""
    site.call("check", "--log-file", tmp_path / "log")
    assert (tmp_path / "log").exists()


def test_log_that_cannot_be_opened_is_unknown(site: CommandSite, tmp_path: Path) -> None:
    """A plugin's exit codes hold for everything."""
    said = site.call("check", "--log-file", tmp_path / "none" / "log")
    assert (3, True) == (said.code, "[UNKNOWN] log: " in said.out)


def test_terminal_is_told_who_is_asked(site: CommandSite) -> None:
    """The line is gone at the end; nothing of it is in the answer."""
    said = site.call("check", "--full", terminal=True)
    assert "querying cc-backend ..." in said.err
    assert said.err.endswith("querying Slurm ...\r\x1b[K")
    assert "querying" not in said.out


def test_light_look_loads_no_heavy_library(site: CommandSite) -> None:
    """A plugin is run every minute."""
    code = (
        "import sys; from spool.cli import main; main(sys.argv[1:]);"
        "print(sorted({'requests', 'tenacity', 'filelock', 'urllib3'} & set(sys.modules)))"
    )
    argv = [sys.executable, "-c", code, "check", "-c", str(site.config)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.splitlines()[-1]


def test_token_is_in_no_output(site: CommandSite) -> None:
    """Neither in the lines nor in JSON."""
    secret = site.token.read_text().strip()
    for how in ([], ["--json"], ["--full"]):
        said = site.call("check", *how)
        assert secret not in said.out + said.err


# ---- --full


class SlurmCommands:
    """A runner that knows what each question is answered with; the longest beginning counts."""

    def __init__(self, changes: dict[str, Any]) -> None:
        self.answers: dict[str, Any] = {
            "squeue --version": b"slurm-wlm 22.05.8\n",
            "scontrol --version": b"slurm-wlm 22.05.8\n",
            "sacct --version": b"slurm-wlm 22.05.8\n",
            "sacctmgr --version": b"slurm-wlm 22.05.8\n",
            "scontrol show config": CONFIG.encode(),
            "scontrol show node": NODE_26,
            "scontrol write batch_script": b"#!/bin/sh\n\0",
            "squeue --local --json": b'{"meta": {}}',
            "squeue --local -a": LISTED.encode(),
            "sacctmgr -n -P show user": b"",
            "sacctmgr show configuration": DBD.replace(b"jobs,usage", b"none"),
            "sacct -a -X": b"alice\n",
            **changes,
        }

    def __call__(self, argv: Any, **_: Any) -> CommandResult:
        """Answer one question."""
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
    """Return what is asked beyond local state, by name."""
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


def test_full_look_asks_both_sides(site: CommandSite) -> None:
    """Everything that can be judged is."""
    found = full(site)
    assert {
        *("server", "server token", "server job API", "server listing", "server cluster"),
        *("slurm commands", "slurm release", "slurm json", "controller", "slurm memory"),
        *("PrologSlurmctld", "EpilogSlurmctld", "spool", "hook time limit", "accounting"),
        "last event",
        *("gres tracking", "jobs seen", "accounting seen", "scripts"),
        *("hosts", "cores", "accelerators"),
    } == {name for name in found if not name.startswith("source of ")}
    assert "sacct shows job 7 of alice" in found["accounting seen"].text
    assert "are read by scontrol" in found["scripts"].text
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
def test_full_look_shows_errors_next_to_complete_answers(
    site: CommandSite, questions: tuple[str, ...], shown: list[str]
) -> None:
    """Before there is a drain that could; a line of several commands once."""
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


def test_full_look_with_a_silent_controller_goes_on(site: CommandSite) -> None:
    """The commands and the server are still judged."""
    found = full(site, {"scontrol show config": AWAY, "squeue --version": AWAY})
    assert CheckStatus.CRITICAL is found["slurm"].status
    assert CheckStatus.UNKNOWN is found["slurm json"].status
    assert CheckStatus.OK is found["server"].status
    assert "hosts" not in found


def test_full_look_goes_on_without_squeue(site: CommandSite) -> None:
    """What needs its release is left out."""
    found = full(site, {"squeue --version": AWAY})
    assert CheckStatus.UNKNOWN is found["slurm json"].status
    assert "source of events" not in found
    assert "jobs seen" in found


def test_full_look_tells_each_silence(site: CommandSite) -> None:
    """One result each, the rest goes on."""
    found = full(
        site,
        {
            "squeue --local -a": AWAY,
            "squeue --local --json": AWAY,
            "scontrol show node": AWAY,
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
def test_full_look_tries_a_script(
    site: CommandSite,
    stderr: bytes,
    files: bool,  # noqa: FBT001 - a parameter of the table
    verdict: CheckStatus,
) -> None:
    """By scontrol and in StateSaveLocation."""
    saved = site.root / "ctld"
    (saved / "hash.0").mkdir(parents=True)
    if files:
        site.document["slurm"] = {"state_save_location": str(saved)}
        site.write()
    found = full(site, {"scontrol write batch_script": (1, b"", stderr)})
    assert verdict is found["scripts"].status


def test_full_look_asks_for_events_where_hooks_run(site: CommandSite) -> None:
    """Not on a backup controller, nor where no hook is set."""
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


def test_full_look_without_jobs_or_accounting(site: CommandSite) -> None:
    """Rights are judged by the configuration alone."""
    none = CONFIG.replace("/slurmdbd", "/none").encode()
    found = full(site, {"squeue --local -a": b"", "scontrol show config": none})
    assert "accounting seen" not in found
    assert CheckStatus.WARNING is found["accounting"].status
    empty = full(site, {"squeue --local -a": b""})
    assert CheckStatus.OK is empty["accounting seen"].status


def test_full_look_takes_the_hosts_from_files(site: CommandSite) -> None:
    """A server before 1.3.0 does not list them; a file that cannot be read is skipped."""
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


def test_full_look_with_an_unusable_token(site: CommandSite) -> None:
    """The roles are not known then; the check of the configuration says why."""
    site.token.chmod(0o644)
    assert CheckStatus.OK is full(site)["server token"].status


@pytest.fixture
def ada(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work as an ordinary user without a name."""
    monkeypatch.setattr(os, "geteuid", lambda: 2**31 - 9)


WRONG_CALLER = (
    "CC_SLURM_SYNC UNKNOWN - check --full: must run as root or as the service user{}, not as"
    f" {2**31 - 9}; sudo cc-spool check --full\n"
)


@pytest.mark.usefixtures("ada")
def test_an_ordinary_user_gets_one_line_from_the_full_look(site: CommandSite) -> None:
    """And no hint that would give them the spool; without a state directory the spool decides."""
    owner = site.state.owner()
    with_state = site.call("check", "--full")
    as_json = site.call("check", "--full", "--json")
    shutil.rmtree(site.state)
    without = site.call("check", "--full")

    assert (3, WRONG_CALLER.format(f" {owner}"), "") == (
        with_state.code,
        with_state.out,
        with_state.err,
    )
    assert (3, {"check --full": "UNKNOWN"}) == (as_json.code, verdicts(as_json))
    assert (with_state.code, with_state.out) == (without.code, without.out)


@pytest.mark.usefixtures("ada")
def test_without_any_directory_nobody_is_the_wrong_caller(site: CommandSite) -> None:
    """The message to whoever sets up a trial names what is missing."""
    shutil.rmtree(site.state)
    shutil.rmtree(site.spool)
    said = site.call("check", "--full", "--json")

    assert 2 == said.code
    assert "check --full" not in verdicts(said)


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("closed", ["state", "configuration"])
def test_a_closed_directory_or_configuration_is_not_for_ordinary_users(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    """Nothing is known of it."""
    refused = PermissionError(13, "Permission denied")

    def refuse(*_how: object, **_more: object) -> None:
        raise refused

    if closed == "state":
        monkeypatch.setattr(permissions, "_owner", refuse)
    else:
        monkeypatch.setattr(os, "open", refuse)
    said = site.call("check", "--full")

    assert (3, WRONG_CALLER.format("")) == (said.code, said.out)


def test_full_look_by_the_command_itself(site: CommandSite) -> None:
    """With real commands that are not there, and a server that is not there."""
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

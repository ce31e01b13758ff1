"""Check Slurm's configuration: commands, memory of ended jobs, accounting, time limits."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping, Sequence

from slurm.decode.release_text import parse_release_number
from slurm.decode.scontrol_config import SlurmSettings, has_accounting
from slurm.decode.scontrol_nodes import Node
from slurm.errors import SlurmError
from slurm.release import SAME_IN_EVERY_RELEASE, Release, features_of
from spool.checks.result import CheckResult, CheckStatus, finding, passed

SWEEP_PERIOD_SECONDS = 600
SHORT_MIN_JOB_AGE_SECONDS = 60
SHORT_HOOK_TIMEOUT_SECONDS = 5
NO_TIMEOUT = 65534
_TIMEOUTS = ("PrologTimeout", "EpilogTimeout", "PrologEpilogTimeout")
_SLURM_HINT = "check the output of `scontrol show config` and `squeue --json`"
_HOST_NAME = re.compile(r"([^(,\s]+)")


def check_commands(
    versions: Mapping[str, Release | str], config: SlurmSettings, *, json: bool | str
) -> Iterator[CheckResult]:
    """Check that Slurm's commands work, have the controller's release, and write JSON.

    Instead of a release or an answer, `versions` and `json` may hold the reason why it is unknown.
    """
    found = {name: release for name, release in versions.items() if isinstance(release, Release)}
    for name, why in versions.items():
        if isinstance(why, str):
            # without sacctmgr only our rights stay unknown
            status = CheckStatus.WARNING if name == "sacctmgr" else CheckStatus.CRITICAL
            hint = f"install Slurm's client commands, or correct slurm.{name}"
            yield finding(status, "slurm commands", f"{name}: {why}", hint)
    if len(set(found.values())) > 1:
        text = ", ".join(f"{name} {release}" for name, release in found.items())
        hint = "install all commands from one release, or correct their paths (slurm.squeue ...)"
        yield finding(CheckStatus.WARNING, "slurm commands", f"releases differ: {text}", hint)
    elif found:
        yield passed("slurm commands", f"{', '.join(found)}: {next(iter(found.values()))}")
    if found and config:
        yield _check_controller_release(next(iter(found.values())), config)
    yield _check_json(json=json)


def check_controller_host(config: SlurmSettings, host: str | None = None) -> CheckResult:
    """Check that this host is a controller's host, where the hooks write into the spool."""
    here = (host or socket.gethostname()).split(".")[0]
    values = config.get("SlurmctldHost", ())
    names = [found[1] for found in map(_HOST_NAME.match, values) if found]
    if here in {name.split(".")[0] for name in names}:
        return passed("controller", f"{here} is a controller (SlurmctldHost: {', '.join(names)})")
    text = f"this host ({here}) is not a controller ({', '.join(names)})"
    hint = "install spool and drain on slurmctld's host, where the hooks run"
    return finding(CheckStatus.WARNING, "controller", text, hint)


def check_min_job_age(config: SlurmSettings) -> CheckResult:
    """Check that the controller remembers ended jobs long enough (MinJobAge)."""
    seconds = setting_seconds(config, "MinJobAge")
    text = f"MinJobAge is {seconds} s"
    if seconds is None or seconds == 0 or seconds >= SWEEP_PERIOD_SECONDS:
        return passed("job retention", text if seconds else "slurmctld never forgets ended jobs")
    if seconds < SHORT_MIN_JOB_AGE_SECONDS:
        hint = (
            "set MinJobAge to 300 or more in slurm.conf: core lists and scripts of jobs that end"
            " while cc-spool is stopped can then still be read"
        )
        return finding(CheckStatus.WARNING, "job retention", text, hint)
    if not has_accounting(config):
        hint = (
            f"set MinJobAge above {SWEEP_PERIOD_SECONDS}, the sweep's interval: without accounting,"
            " a job that ends between two sweeps cannot be found"
        )
        return finding(CheckStatus.WARNING, "job retention", text, hint)
    return passed("job retention", f"{text}; older jobs are read from accounting")


def check_hook_timeouts(config: SlurmSettings) -> CheckResult:
    """Check that slurmctld gives the hooks enough time on a busy host."""
    limits = {name: setting_seconds(config, name) for name in _TIMEOUTS}
    short = {
        name: seconds
        for name, seconds in limits.items()
        if seconds is not None and 0 < seconds < SHORT_HOOK_TIMEOUT_SECONDS
    }
    if short:
        text = ", ".join(f"{name} is {seconds} s" for name, seconds in short.items())
        hint = "set 60 s or more: if Slurm kills a prolog, it requeues the job (from 22.05 on)"
        return finding(CheckStatus.WARNING, "hook time limit", text, hint)
    known = {n: s for n, s in limits.items() if s is not None and s < NO_TIMEOUT}
    return passed(
        "hook time limit", ", ".join(f"{n} {s} s" for n, s in known.items()) or "no limit is set"
    )


def check_accounting(config: SlurmSettings) -> CheckResult:
    """Check that ended jobs can be looked up in accounting."""
    if has_accounting(config):
        return passed("accounting", config["AccountingStorageType"][0])
    hint = (
        "set up slurmdbd: without it, past jobs cannot be reported, nor the ends of jobs that"
        " slurmctld has forgotten"
    )
    return finding(CheckStatus.WARNING, "accounting", "this cluster has no accounting", hint)


def check_gres(config: SlurmSettings, nodes: Sequence[Node], kinds: tuple[str, ...]) -> CheckResult:
    """Check that accounting counts the accelerators that the nodes have."""
    present = sorted({kind for node in nodes for kind, _, _ in node.devices if kind in kinds})
    tracked = ",".join(config.get("AccountingStorageTRES", ())).split(",")
    missing = [kind for kind in present if f"gres/{kind}" not in tracked]
    if missing:
        wanted = ",".join(f"gres/{kind}" for kind in missing)
        text = f"accounting does not track {', '.join(missing)}"
        hint = (
            f"add {wanted} to AccountingStorageTRES; otherwise jobs reported late have no such"
            " count"
        )
        return finding(CheckStatus.WARNING, "gres tracking", text, hint)
    if not present:
        return passed("gres tracking", "no accelerators")
    tracks = ", ".join(f"gres/{kind}" for kind in present)
    return passed("gres tracking", f"AccountingStorageTRES contains {tracks}")


def _check_controller_release(release: Release, config: SlurmSettings) -> CheckResult:
    words = next(iter(config.get("SLURM_VERSION", ())), "")
    try:
        controller = parse_release_number(words)
    except SlurmError:
        return finding(CheckStatus.UNKNOWN, "slurm release", "not shown by scontrol", _SLURM_HINT)
    if controller.series == release.series:
        return passed("slurm release", f"slurmctld runs release {controller}")
    text = f"the commands have release {release}, slurmctld has {controller}"
    hint = "install the commands of slurmctld's release: not all releases work together"
    return finding(CheckStatus.WARNING, "slurm release", text, hint)


def _check_json(*, json: bool | str) -> CheckResult:
    if json is True:
        return passed("slurm json", "squeue writes JSON")
    if json is False:
        hint = "install Slurm's JSON serializer plugin (built with json-c) on this host"
        text = "squeue cannot write JSON: jobs are read from text, which is slower"
        return finding(CheckStatus.WARNING, "slurm json", text, hint)
    return finding(CheckStatus.UNKNOWN, "slurm json", json, _SLURM_HINT)


def setting_seconds(config: SlurmSettings, name: str) -> int | None:
    """Return the number that a setting begins with, in seconds; None if there is none."""
    found = re.match(r"[0-9]+", next(iter(config.get(name, ())), ""))
    return None if found is None else int(found[0])


HOOKS_WITH_TIMES = Release(23, 2)


def check_sources(release: Release) -> Iterator[CheckResult]:
    """Yield a passed result for each kind of facts: the source that they are read from."""
    row = features_of(release)
    times = "job id, start and end" if release >= HOOKS_WITH_TIMES else "the job id only"
    yield passed("source of events", f"the hooks, with {times}")
    yield passed("source of few jobs", row.describe(row.few_jobs))
    yield passed("source of many jobs", row.describe(row.many_jobs))
    yield passed("source of node sharing", f"column {row.sharing_column} of squeue")
    for what, how in SAME_IN_EVERY_RELEASE:
        yield passed(f"source of {what}", how)

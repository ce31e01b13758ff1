"""What of Slurm's own configuration matters here: commands, memory, accounting, time limits."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping, Sequence

from slurm.decode.scontrol_nodes import Node
from slurm.errors import SlurmError
from slurm.release import Release, parse_release
from spool.checks.result import Result, Verdict, bad, good

SWEEP_SECONDS = 600
SHORT_MEMORY_SECONDS = 60
SHORT_TIMEOUT_SECONDS = 5
NO_TIMEOUT = 65534
_TIMEOUTS = ("PrologTimeout", "EpilogTimeout", "PrologEpilogTimeout")
_SEE = "look at what `scontrol show config` and `squeue --json` say"
_ROLE = re.compile(r"([^(,\s]+)")

Settings = Mapping[str, Sequence[str]]


def check_commands(
    versions: Mapping[str, Release | str], config: Settings, *, json: bool | str
) -> Iterator[Result]:
    """Yield whether the commands work and fit the controller.

    Args:
        versions: release of each command, or why it does not say.
        config: of `scontrol show config`.
        json: whether squeue writes JSON, or why that is not known.
    """
    found = {name: release for name, release in versions.items() if isinstance(release, Release)}
    for name, why in versions.items():
        if isinstance(why, str):
            # without sacctmgr our rights alone stay unknown
            verdict = Verdict.WARNING if name == "sacctmgr" else Verdict.CRITICAL
            hint = f"install Slurm's client commands, or correct slurm.{name}"
            yield bad(verdict, "slurm commands", f"{name}: {why}", hint)
    if len(set(found.values())) > 1:
        text = ", ".join(f"{name} {release}" for name, release in found.items())
        hint = "install all commands from one release, or correct the paths in slurm.*"
        yield bad(Verdict.WARNING, "slurm commands", f"differ: {text}", hint)
    elif found:
        yield good("slurm commands", f"{', '.join(found)} are of {next(iter(found.values()))}")
    if found and config:
        yield _controller(next(iter(found.values())), config)
    yield _json(json)


def check_controller_host(config: Settings, host: str | None = None) -> Result:
    """Return whether this host is one of the controllers: hooks and spool belong there."""
    here = (host or socket.gethostname()).split(".")[0]
    values = config.get("SlurmctldHost", ())
    names = [found[1] for found in map(_ROLE.match, values) if found]
    if here in {name.split(".")[0] for name in names}:
        return good("controller", f"{here} is one of {', '.join(names)}")
    text = f"this host ({here}) is none of the controllers {', '.join(names)}"
    hint = "slurmctld runs the hooks: the spool and the drain belong on its host"
    return bad(Verdict.WARNING, "controller", text, hint)


def check_memory(config: Settings) -> Result:
    """Return whether the controller remembers ended jobs for long enough."""
    seconds = _seconds(config, "MinJobAge")
    text = f"MinJobAge is {seconds} s"
    if seconds is None or seconds == 0 or seconds >= SWEEP_SECONDS:
        return good("slurm memory", text if seconds else "ended jobs are never forgotten")
    if seconds < SHORT_MEMORY_SECONDS:
        hint = "set MinJobAge to 300 or more: cores and scripts are asked for after a restart too"
        return bad(Verdict.WARNING, "slurm memory", text, hint)
    if not has_accounting(config):
        hint = (
            f"set MinJobAge above {SWEEP_SECONDS}, the sweep's interval: without accounting a job"
            " that ends between two sweeps cannot be found"
        )
        return bad(Verdict.WARNING, "slurm memory", text, hint)
    return good("slurm memory", f"{text}; accounting knows what is older")


def check_timeouts(config: Settings) -> Result:
    """Return whether slurmctld gives the hooks time enough on a busy host."""
    limits = {name: _seconds(config, name) for name in _TIMEOUTS}
    short = {
        name: seconds
        for name, seconds in limits.items()
        if seconds is not None and 0 < seconds < SHORT_TIMEOUT_SECONDS
    }
    if short:
        text = ", ".join(f"{name} is {seconds} s" for name, seconds in short.items())
        hint = "allow a minute: a prolog that is killed requeues its job (from 22.05 on)"
        return bad(Verdict.WARNING, "hook time limit", text, hint)
    told = {n: s for n, s in limits.items() if s is not None and s < NO_TIMEOUT}
    return good("hook time limit", ", ".join(f"{n} {s} s" for n, s in told.items()) or "none")


def has_accounting(config: Settings) -> bool:
    """Tell whether the cluster has accounting."""
    kind = next(iter(config.get("AccountingStorageType", ())), "none")
    return not kind.endswith("none")


def check_accounting(config: Settings) -> Result:
    """Return whether ended jobs can be looked up for good."""
    if has_accounting(config):
        return good("accounting", config["AccountingStorageType"][0])
    hint = (
        "set up slurmdbd: without it a job that the controller has forgotten cannot be proven"
        " ended, nor history be filled in"
    )
    return bad(Verdict.WARNING, "accounting", "there is none", hint)


def check_gres(config: Settings, nodes: Sequence[Node], kinds: tuple[str, ...]) -> Result:
    """Return whether accounting counts the accelerators that the nodes have."""
    present = sorted({kind for node in nodes for kind, _ in node.gres if kind in kinds})
    tracked = ",".join(config.get("AccountingStorageTRES", ())).split(",")
    missing = [kind for kind in present if f"gres/{kind}" not in tracked]
    if missing:
        wanted = ",".join(f"gres/{kind}" for kind in missing)
        text = f"accounting does not count {', '.join(missing)}"
        hint = f"add {wanted} to AccountingStorageTRES: a job that ended unseen loses its number"
        return bad(Verdict.WARNING, "gres tracking", text, hint)
    return good("gres tracking", f"counts {', '.join(present)}" if present else "no accelerators")


def _controller(release: Release, config: Settings) -> Result:
    words = next(iter(config.get("SLURM_VERSION", ())), "")
    try:
        controller = parse_release(words.encode())
    except SlurmError:
        return bad(Verdict.UNKNOWN, "slurm release", "the controller does not tell", _SEE)
    if controller.series == release.series:
        return good("slurm release", f"the controller is of {controller}")
    text = f"commands are of {release}, the controller of {controller}"
    hint = "update the commands: answers follow them, and only some releases fit each other"
    return bad(Verdict.WARNING, "slurm release", text, hint)


def _json(json: bool | str) -> Result:  # noqa: FBT001 - an answer that may be no answer
    if json is True:
        return good("slurm json", "squeue writes JSON")
    if json is False:
        hint = "install Slurm's JSON serializer plugin (built with json-c) beside the commands"
        text = "this squeue cannot write JSON: jobs are read from text, at a higher price"
        return bad(Verdict.WARNING, "slurm json", text, hint)
    return bad(Verdict.UNKNOWN, "slurm json", json, _SEE)


def _seconds(config: Settings, name: str) -> int | None:
    found = re.match(r"[0-9]+", next(iter(config.get(name, ())), ""))
    return None if found is None else int(found[0])

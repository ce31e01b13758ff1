"""Check that PrologSlurmctld and EpilogSlurmctld call our stubs, and slurmctld can run them.

A stub is recognized by its contents. A site's own script may call it as a program (before Slurm
24.05 each option can have only one line); then the stub that the script names is checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spool.checks.result import CheckResult, CheckStatus, finding, passed
from spool.installation import HOOKS as HOOKS_DIRECTORY
from spool.preflight.hook_events import activation
from spool.preflight.permissions import EXECUTE, READ, SystemUser, access_problem

MAX_SCRIPT_BYTES = 256 * 1024
DEFAULT_SPOOL = Path("/var/spool/cc-slurm-sync")
_KIND = re.compile(r"^\s*cc_slurm_sync_kind=([a-z]+)", re.MULTILINE)
_SPOOL = re.compile(r"^\s*(?:export\s+)?CC_SLURM_SYNC_SPOOL=[\"']?([^\s\"';]+)", re.MULTILINE)
_SOURCED = re.compile(r"cc_slurm_sync_event=[\"']?(/[^\s\"';$]+)")
_COMMAND = re.compile(r"^[^#\n]*?(/[\w./+-]*/(?:prolog|epilog)_slurmctld)\b", re.MULTILINE)
_SOURCED_NAME = "spool_event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One hook: its option in slurm.conf, the kind of its events, and the loss without it."""

    option: str
    kind: str
    consequence: str


HOOKS = (
    Hook(
        option="PrologSlurmctld",
        kind="start",
        consequence="starts are only reported by the sweep, minutes late",
    ),
    Hook(
        option="EpilogSlurmctld",
        kind="stop",
        consequence="stops are only reported by the sweep, minutes late",
    ),
)


def check_hooks(
    config: Mapping[str, Sequence[str]], spool: Path, slurm_user: SystemUser | None
) -> Iterator[CheckResult]:
    """Yield the result for each of the two hooks.

    Args:
        config: of `scontrol show config`.
        spool: the directory that the drain reads.
        slurm_user: runs the hooks; None if this host has no such account.
    """
    for hook in HOOKS:
        paths = config.get(hook.option, ())
        if paths:
            yield _check(hook, paths, spool, slurm_user)
        else:
            yield _missing(hook, activation(config))


def _missing(hook: Hook, activate: str) -> CheckResult:
    stub = HOOKS_DIRECTORY / f"{hook.option[:6].lower()}_slurmctld"
    hint = f"add {hook.option}={stub} to slurm.conf, then {activate}"
    return finding(CheckStatus.CRITICAL, hook.option, f"is not set: {hook.consequence}", hint)


def _check(
    hook: Hook, paths: Sequence[str], spool: Path, slurm_user: SystemUser | None
) -> CheckResult:
    found = _find_stub(list(map(Path, paths)))
    if found is not None:
        stub, text, caller = found
        result = _check_stub(hook, stub, text, spool, slurm_user)
        return result if caller is None else _called_by_script(result, caller)
    unread = [path for path in paths if _read_text(Path(path)) is None]
    if unread:
        hint = "run this on slurmctld's host, or let the service user read the script"
        message = f"{', '.join(unread)} cannot be read here, so it may not be our hook"
        return finding(CheckStatus.UNKNOWN, hook.option, message, hint)
    hint = "call our stub from it as a program (from Slurm 24.05 add a second line instead)"
    message = f"{', '.join(paths)} does not call our hook: {hook.consequence}"
    return finding(CheckStatus.CRITICAL, hook.option, message, hint)


def _find_stub(paths: Sequence[Path]) -> tuple[Path, str, Path | None] | None:
    """Return a stub with its text, and the site's script that calls it, if any."""
    direct = [(path, None) for path in paths]
    called = [
        (Path(named), path) for path in paths for named in _COMMAND.findall(_read_text(path) or "")
    ]
    for stub, caller in (*direct, *called):
        text = _read_text(stub)
        if text is not None and _KIND.search(text):
            return stub, text, caller
    return None


def _called_by_script(result: CheckResult, script: Path) -> CheckResult:
    """Return the result for a stub that a site's own script calls."""
    if not result.is_ok:
        return result
    hint = f"check that {script} always calls it, early, and always exits 0"
    return finding(CheckStatus.WARNING, result.name, f"{result.text}, called by {script}", hint)


def _check_stub(
    hook: Hook, path: Path, text: str, spool: Path, slurm_user: SystemUser | None
) -> CheckResult:
    kind = _KIND.search(text)
    if kind is None or kind[1] != hook.kind:
        hint = "each option must name the stub of the same name"
        return finding(
            CheckStatus.CRITICAL, hook.option, f"{path} writes the events of the other hook", hint
        )
    target = _SPOOL.search(text)
    if Path(target[1] if target else DEFAULT_SPOOL) != spool:
        where = target[1] if target else DEFAULT_SPOOL
        hint = "set CC_SLURM_SYNC_SPOOL in the stub, or spool.directory"
        message = f"{path} writes to {where}, but the drain reads {spool}"
        return finding(CheckStatus.CRITICAL, hook.option, message, hint)
    sourced = _SOURCED.search(text)
    event = Path(sourced[1]) if sourced else path.parent / _SOURCED_NAME
    if slurm_user is not None:
        for wanted, bits, mode in ((path, READ | EXECUTE, "0755"), (event, READ, "0644")):
            if blocked := access_problem(wanted, slurm_user, bits):
                hint = f"run `make install` again, or chmod {mode} {wanted}"
                return finding(CheckStatus.CRITICAL, hook.option, blocked, hint)
    return passed(hook.option, f"{path} writes events to {spool}")


def _read_text(path: Path) -> str | None:
    """Return the text of a script, None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_SCRIPT_BYTES).decode("utf-8", "replace")
    except OSError:
        return None

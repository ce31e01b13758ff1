"""Check that PrologSlurmctld and EpilogSlurmctld call our stubs, and slurmctld can run them.

A stub is recognized by its contents. A site's own script may call it as a program (before Slurm
24.05 each option can have only one line); then the stub that the script names is checked.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slurm.decode.job_rows import SqueueRow
from slurm.decode.release_text import parse_release_number
from slurm.decode.scontrol_config import AS_OF, SlurmSettings, config_time
from slurm.errors import SlurmError
from slurm.release import Release
from spool.checks.result import CheckResult, CheckStatus, finding, passed
from spool.config.sections import SpoolKeys
from spool.errors import BadFileError, SpoolError
from spool.files.drain_state import read_drain_state
from spool.files.layout import Directory, Layout
from spool.files.state_files import DRAIN_STATE_FILE
from spool.formatting import format_duration
from spool.installation import HOOKS as HOOKS_DIRECTORY
from spool.preflight.permissions import EXECUTE, READ, SystemUser, access_problem
from spool.preflight.slurm_setup import setting_seconds

# Up to Slurm 23.02 slurmctld takes PrologSlurmctld and EpilogSlurmctld into its configuration at
# `scontrol reconfigure`, but runs them only if they were set when it started.
RECONFIGURE_STARTS_HOOKS = Release(23, 11)
GRACE_SECONDS = 60.0
"""The longest delay of an event; a start time may move by ResumeTimeout in addition."""

_HOOK_EVENTS = ("1-start-", "1-stop-")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEvents:
    """The time of the last event (None: not known); no event since `watched_since` was missed."""

    last: float | None
    watched_since: float = 0.0


def seen_events(spool: SpoolKeys) -> SeenEvents:
    """Return the time of the last event, in the drain's state or `new/`, and the drain's start."""
    state = None
    with suppress(BadFileError, OSError):
        state = read_drain_state(spool.state_directory / DRAIN_STATE_FILE)
    known = [state.last_event] if state and state.last_event is not None else []
    with suppress(SpoolError, OSError), Layout(spool.directory) as layout:
        known += _event_times(layout)
    watched_since = state.started if state else None
    return SeenEvents(last=max(known, default=None), watched_since=watched_since or 0.0)


def check_last_event(
    events: SeenEvents, jobs: Iterable[SqueueRow], config: SlurmSettings
) -> CheckResult:
    """Check that a hook's event arrived for the last job that started since slurmctld did.

    `jobs` are all in the controller's memory; `config` is `scontrol show config` with its clock.
    """
    now = config_time(config, AS_OF) or time.time()
    since: float = config_time(config, "BOOT_TIME") or 0
    if events.last is None:
        since = max(since, events.watched_since)
    started = [job for job in jobs if job.nodes and since < (job.start_time or 0)]
    judged = [job for job in started if (job.start_time or 0) <= now - GRACE_SECONDS]
    youngest = max(judged, key=lambda job: job.start_time or 0, default=None)
    age = None if events.last is None else format_duration(now - events.last)
    if youngest is None or _is_seen(youngest, events, config):
        return passed(
            "last event",
            f"arrived {age} ago" if age else "no event has arrived yet, and none is missing",
        )
    start_age = format_duration(now - (youngest.start_time or 0))
    came = f"the last event arrived {age} ago" if age else "no event has arrived"
    text = f"job {youngest.job_id} started {start_age} ago, but {came}: no hook wrote an event"
    hint = (
        f"if the hooks were added to slurm.conf after slurmctld started, {activation(config)};"
        " otherwise check slurmctld's log, and the permissions of new/ in the spool"
    )
    return finding(CheckStatus.WARNING, "last event", text, hint)


def activation(config: SlurmSettings) -> str:
    """Return the step that activates hooks after they were added to slurm.conf."""
    release = None
    with suppress(SlurmError):
        release = parse_release_number(next(iter(config.get("SLURM_VERSION", ())), ""))
    if release is not None and release >= RECONFIGURE_STARTS_HOOKS:
        return "run `scontrol reconfigure`"
    return "restart slurmctld (up to Slurm 23.02 `scontrol reconfigure` does not activate hooks)"


def _is_seen(job: SqueueRow, events: SeenEvents, config: SlurmSettings) -> bool:
    """Return whether the last event may be a job's; the job's start time can move afterwards."""
    if events.last is None:
        return False
    slack = GRACE_SECONDS + (setting_seconds(config, "ResumeTimeout") or 0)
    return events.last >= (job.start_time or 0) - slack


def _event_times(layout: Layout) -> Iterator[float]:
    """Yield the times at which the hooks wrote the events in `new/`."""
    for name in layout.names(Directory.NEW):
        if name.startswith(_HOOK_EVENTS):
            with suppress(FileNotFoundError):
                yield layout.mtime(Directory.NEW, name)


MAX_SCRIPT_BYTES = 256 * 1024
DEFAULT_SPOOL = Path("/var/spool/cc-slurm-sync")
_KIND = re.compile(r"^\s*cc_slurm_sync_kind=([a-z]+)", re.MULTILINE)
_SPOOL = re.compile(r"^\s*(?:export\s+)?CC_SLURM_SYNC_SPOOL=[\"']?([^\s\"';]+)", re.MULTILINE)
_SOURCED = re.compile(r"cc_slurm_sync_event=[\"']?(/[^\s\"';$]+)")
_COMMAND = re.compile(r"^[^#\n]*?(/[\w./+-]*/(?:prolog|epilog)_slurmctld[\w.-]*)", re.MULTILINE)
_SOURCED_NAME = "spool_event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One hook: its option in slurm.conf, the kind of its events, and the loss without it."""

    option: str
    kind: str
    consequence: str

    @property
    def stub(self) -> Path:
        """The script that `make install` and the packages put in place."""
        return HOOKS_DIRECTORY / f"{self.option[:6].lower()}_slurmctld"


HOOKS = (
    Hook(
        option="PrologSlurmctld",
        kind="start",
        consequence="only the sweep reports starts, some minutes late",
    ),
    Hook(
        option="EpilogSlurmctld",
        kind="stop",
        consequence="only the sweep reports stops, some minutes late",
    ),
)


def check_hooks(
    config: SlurmSettings, spool: Path, slurm_user: SystemUser | None
) -> Iterator[CheckResult]:
    """Yield the result for each of the two hooks.

    `spool` is the directory that the drain reads. `slurm_user` runs the hooks; None if this host
    has no such account.
    """
    for hook in HOOKS:
        paths = config.get(hook.option, ())
        if paths:
            yield _check(hook, paths, spool, slurm_user)
        else:
            yield _missing(hook, activation(config))


def _missing(hook: Hook, activate: str) -> CheckResult:
    hint = f"add {hook.option}={hook.stub} to slurm.conf, then {activate}"
    return finding(CheckStatus.CRITICAL, hook.option, f"is not set: {hook.consequence}", hint)


def _check(
    hook: Hook, paths: Sequence[str], spool: Path, slurm_user: SystemUser | None
) -> CheckResult:
    found = _find_stub(list(map(Path, paths)), spool)
    if found is not None:
        stub, text, caller = found
        result = _check_stub(hook, stub, text, spool, slurm_user)
        return result if caller is None else _called_by_script(result, caller)
    unread = [path for path in paths if _read_text(Path(path)) is None]
    if unread:
        hint = "run this command on slurmctld's host, or let the service user read the script"
        message = (
            f"{', '.join(unread)} cannot be read here, so it is unknown whether it calls the hook"
            " of cc-slurm-sync"
        )
        return finding(CheckStatus.UNKNOWN, hook.option, message, hint)
    hint = (
        f"call {hook.stub} in this script, or add a second line {hook.option}={hook.stub} to"
        " slurm.conf (Slurm 24.05 or later)"
    )
    message = f"{', '.join(paths)} does not call the hook of cc-slurm-sync: {hook.consequence}"
    return finding(CheckStatus.CRITICAL, hook.option, message, hint)


def _find_stub(paths: Sequence[Path], spool: Path) -> tuple[Path, str, Path | None] | None:
    """Return a stub with its text, and the site's script that calls it, if any.

    Of the stubs of several instances it is the one that writes to our spool, else the first.
    """
    direct = [(path, None) for path in paths]
    called = [
        (Path(named), path) for path in paths for named in _COMMAND.findall(_read_text(path) or "")
    ]
    stubs = [
        (stub, text, caller)
        for stub, caller in (*direct, *called)
        if (text := _read_text(stub)) is not None and _KIND.search(text)
    ]
    ours = (found for found in stubs if _target(found[1]) == spool)
    return next(ours, stubs[0] if stubs else None)


def _target(stub: str) -> Path:
    """Return the spool that a stub writes to."""
    found = _SPOOL.search(stub)
    return Path(found[1]) if found else DEFAULT_SPOOL


def _called_by_script(result: CheckResult, script: Path) -> CheckResult:
    """Return the result for a stub that a site's own script calls."""
    if not result.is_ok:
        return result
    hint = f"make sure that {script} always calls the hook, near its beginning, and always exits 0"
    return finding(CheckStatus.WARNING, result.name, f"{result.text}, called by {script}", hint)


def _check_stub(
    hook: Hook, path: Path, text: str, spool: Path, slurm_user: SystemUser | None
) -> CheckResult:
    kind = _KIND.search(text)
    if kind is None or kind[1] != hook.kind:
        hint = f"set {hook.option} in slurm.conf to the other stub, which has the option's name"
        message = f"{path} is the stub of the other hook"
        return finding(CheckStatus.CRITICAL, hook.option, message, hint)
    if (target := _target(text)) != spool:
        hint = (
            f"if {path} belongs to another instance of cc-slurm-sync, let slurmctld also call the"
            " stub of this instance (docs/several-servers.md); if not, set CC_SLURM_SYNC_SPOOL in"
            " the stub and spool.directory in the configuration to the same directory"
        )
        message = f"{path} writes events to {target}, but cc-spool reads {spool}"
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

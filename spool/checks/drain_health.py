"""Check by lock and state file that the drain runs, delivers, reaches Slurm and cc-backend.

The state of a drain that no longer runs is reported only if cron runs it with `--once`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spool.checks.result import (
    AgeLimits,
    CheckResult,
    CheckStatus,
    PerfData,
    finding,
    passed,
    unreadable,
)
from spool.checks.waiting import STUCK_SECONDS, recent_deliveries, server_text, waiting_line
from spool.errors import ACCESS_HINT, BadFileError
from spool.files.drain_state import (
    HALT_HINT,
    DrainState,
    HealthReport,
    HealthState,
    WaitingCause,
    read_drain_state,
)
from spool.files.lock import LockState, lock_state
from spool.files.state_files import DRAIN_LOCK_FILE, DRAIN_STATE_FILE
from spool.formatting import format_age, format_duration, pluralize

MAX_NAMED = 3
_HEARTBEAT_LIMITS = AgeLimits(
    warning_seconds=60.0,
    critical_seconds=300.0,  # longer than systemd's watchdog allows
)
_START_HINT = "type `systemctl start cc-spool`; `journalctl -u cc-spool` shows why it ended"


def check_drain_files(
    directory: Path, now: float, *, limits: AgeLimits, before_first_start: bool
) -> tuple[DrainState | None, list[CheckResult]]:
    """Return the drain's state (None if missing or unreadable) and the results of its checks."""
    path, lock = directory / DRAIN_STATE_FILE, directory / DRAIN_LOCK_FILE
    try:
        state = read_drain_state(path)
    except (BadFileError, OSError) as error:
        return None, [unreadable("drain", path, error)]
    held = lock_state(lock)
    if held is LockState.UNKNOWN:
        text = f"{lock} cannot be opened (permission denied)"
        return state, [finding(CheckStatus.UNKNOWN, "drain", text, ACCESS_HINT)]
    is_running = held is LockState.HELD
    found = check_drain(
        state, now, is_running=is_running, limits=limits, before_first_start=before_first_start
    )
    return state, list(found)


def check_drain(
    state: DrainState | None,
    now: float,
    *,
    is_running: bool,
    limits: AgeLimits,
    before_first_start: bool = False,
) -> Iterator[CheckResult]:
    """Yield the results of the checks of the drain's lock and state.

    `state` is None if no drain has ever run. `now` is Unix seconds. `is_running`: the lock is held.
    `before_first_start` makes a drain that has never run only a warning: it is started last.
    """
    if not is_running and state is None and before_first_start:
        hint = "when all other checks pass, type `systemctl enable --now cc-spool`"
        yield finding(CheckStatus.WARNING, "drain", "has never run", hint)
    elif not is_running and state is not None and state.once:
        yield from _state_results(state, _last_once(state, now, limits), now, limits)
    elif not is_running:
        last = state.updated if state else None
        text = "is not running" + (f", last seen {format_age(last, now)} ago" if last else "")
        yield finding(CheckStatus.CRITICAL, "drain", text, _START_HINT)
    elif state is None:
        yield passed("drain", "has just started")
    else:
        yield from _state_results(state, _heartbeat(state, now), now, limits)


def _state_results(
    state: DrainState, life: CheckResult, now: float, limits: AgeLimits
) -> Iterator[CheckResult]:
    if state.updated is None or state.health.state is None:
        hint = f"`systemctl restart cc-spool`: the drain then writes {DRAIN_STATE_FILE} anew"
        text = f"the content of its state file {DRAIN_STATE_FILE} is not valid"
        yield finding(CheckStatus.UNKNOWN, "drain", text, hint)
        return
    yield life
    yield _cc_backend(state, now, limits)
    for name, health in (("starts", state.starts), ("stops", state.stops)):
        if health.state not in {None, HealthState.UP}:
            yield _down(f"cc-backend ({name})", health, now, limits)
    yield _deliveries(state, now)
    yield _slurm(state, now, limits)
    yield _disk(state)
    yield _blocked_runs(state.waiting, now)
    if state.unreadable_count:
        yield _unreadable_files(state)
    for warning in state.warnings:
        hint = "correct the cause that the message names"
        yield finding(CheckStatus.WARNING, "drain warning", warning, hint)


def _last_once(state: DrainState, now: float, limits: AgeLimits) -> CheckResult:
    """Return the result of a drain that cron starts with `--once`."""
    age = now - (state.updated or 0.0)
    status = limits.status_at(age)
    hint = (
        ""
        if status is CheckStatus.OK
        else "check cron, and the crontab line that runs `cc-spool drain --once`"
    )
    return finding(
        status, "drain", f"`cc-spool drain --once` last ended {format_duration(age)} ago", hint
    )


def _heartbeat(state: DrainState, now: float) -> CheckResult:
    age = now - (state.updated or 0.0)
    perfdata = _HEARTBEAT_LIMITS.perfdata("heartbeat_age", age)
    status = _HEARTBEAT_LIMITS.status_at(age)
    if status is not CheckStatus.OK:
        text = f"process {state.pid} has not updated its state file for {format_duration(age)}"
        hint = (
            "a Slurm command or the disk may be hanging; if it does not recover, restart cc-spool"
        )
        return finding(status, "drain", text, hint, perfdata)
    age_text = format_age(state.started, now)
    return passed("drain", f"process {state.pid} has been running for {age_text}", perfdata)


def _cc_backend(state: DrainState, now: float, limits: AgeLimits) -> CheckResult:
    health = state.health
    halted = PerfData(label="halted", value=float(health.state is HealthState.HALTED), critical=1)
    if health.state is HealthState.HALTED:
        text = f"deliveries have been halted for {format_age(health.since, now)}: {health.reason}"
        return finding(CheckStatus.CRITICAL, "cc-backend", text, HALT_HINT, halted)
    if health.state is HealthState.DOWN:
        return _down("cc-backend", health, now, limits, halted)
    is_known = state.server_version or state.server_dialect
    text = server_text(state) if is_known else "not queried yet"
    return passed("cc-backend", text, halted)


def _down(
    name: str, health: HealthReport, now: float, limits: AgeLimits, *perfdata: PerfData
) -> CheckResult:
    text = f"has been down for {format_age(health.since, now)}: {health.reason}"
    status = limits.status_at(now - (now if health.since is None else health.since))
    hint = "" if status is CheckStatus.OK else "check cc-backend; no job is lost meanwhile"
    return finding(status, name, text, hint, *perfdata)


def _deliveries(state: DrainState, now: float) -> CheckResult:
    """Return the result of the check that due requests are delivered."""
    perfdata = PerfData(label="deliveries_last_hour", value=state.deliveries_last_hour)
    if (
        state.health.state is HealthState.UP
        and state.due_since is not None
        and now - state.due_since >= STUCK_SECONDS
    ):
        text = (
            f"nothing has been delivered for {format_age(state.due_since, now)} although runs are"
            f" due and cc-backend answers{_last(state, now)}"
        )
        hint = "`cc-spool status` shows the causes; see also `journalctl -u cc-spool`"
        return finding(CheckStatus.CRITICAL, "deliveries", text, hint, perfdata)
    text = f"{recent_deliveries(state, now)}{_last(state, now)}"
    return passed("deliveries", text, perfdata)


def _last(state: DrainState, now: float) -> str:
    if state.last_delivery is None:
        return ""
    return f"; the last delivery was {format_age(state.last_delivery, now)} ago"


def _slurm(state: DrainState, now: float, limits: AgeLimits) -> CheckResult:
    silences = (
        ("has not answered", state.slurm_silent_since, "slurmctld"),
        ("accounting has not answered", state.accounting_silent_since, "slurmdbd"),
    )
    for what, since, daemon in silences:
        if since is not None:
            why = f": {state.slurm_reason}" if state.slurm_reason else ""
            status = limits.status_at(now - since)
            hint = f"check {daemon} and the slurm section of the configuration"
            text = f"{what} for {format_age(since, now)}{why}"
            return finding(status, "slurm", text, "" if status is CheckStatus.OK else hint)
    release = f" (release {state.slurm_release})" if state.slurm_release else ""
    return passed("slurm", f"answers{release}")


def _disk(state: DrainState) -> CheckResult:
    if state.disk_full:
        why = f": {state.disk_reason}" if state.disk_reason else ""
        hint = "make room on the spool's file system; until then nothing can be stored"
        return finding(
            CheckStatus.CRITICAL, "disk", f"the drain cannot write to the spool{why}", hint
        )
    return passed("disk", "writable")


def _blocked_runs(waiting: tuple[WaitingCause, ...], now: float) -> CheckResult:
    """Return the result for runs that have waited for the same cause for a while."""
    old = [cause for cause in waiting if now - (cause.since or 0.0) >= STUCK_SECONDS]
    perfdata = PerfData(label="waiting_runs", value=sum(cause.count for cause in old), warning=1)
    if not old:
        return passed("waiting runs", "none", perfdata)
    named = "; ".join(waiting_line(cause, now) for cause in old[:MAX_NAMED])
    more = f"; and {len(old) - MAX_NAMED} more causes" if len(old) > MAX_NAMED else ""
    hint = "remove the cause; then wait for the next attempt, or type `cc-spool retry ALL`"
    return finding(CheckStatus.WARNING, "waiting runs", named + more, hint, perfdata)


def _unreadable_files(state: DrainState) -> CheckResult:
    named = "; ".join(f"{file.name}: {file.reason}" for file in state.unreadable[:MAX_NAMED])
    count = state.unreadable_count
    text = f"{pluralize(count, 'file')} in the spool cannot be read: {named}"
    hint = "repair their permissions or the disk; then the drain reads them automatically"
    return finding(CheckStatus.CRITICAL, "unreadable files", text, hint)

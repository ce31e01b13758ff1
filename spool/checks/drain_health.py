"""The drain by its lock and by what it says of itself: does it run, deliver, and hear both sides?

What a dead drain said last is history and not reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spool.checks.result import AgeLimits, CheckResult, CheckStatus, PerfData, finding, passed
from spool.files.drain_state import DrainState, HealthReport, HealthState, WaitingCause
from spool.formatting import format_age, format_duration, format_time, pluralize

HEARTBEAT_WARNING_SECONDS = 60.0
HEARTBEAT_CRITICAL_SECONDS = 300.0  # systemd's watchdog would have ended it by now
STUCK_SECONDS = 60.0
MAX_NAMED = 3
_HEARTBEAT_LIMITS = AgeLimits(
    warning_seconds=HEARTBEAT_WARNING_SECONDS, critical_seconds=HEARTBEAT_CRITICAL_SECONDS
)
_START_HINT = "`systemctl start cc-spool`; its log says why it ended"


def unreadable(name: str, path: Path, error: Exception) -> CheckResult:
    """Return the result for state that cannot be read: nothing is known."""
    text = f"{path} cannot be read: {error}"
    return finding(CheckStatus.UNKNOWN, name, text, "run this as root or as the service's user")


def check_drain(
    state: DrainState | None,
    now: float,
    *,
    is_running: bool,
    limits: AgeLimits,
    before_first_start: bool = False,
) -> Iterator[CheckResult]:
    """Yield what the drain says of itself.

    Args:
        state: what it wrote last; None if no drain has ever run.
        now: Unix seconds.
        is_running: whether the lock is held.
        limits: on the time that cc-backend or Slurm are away.
        before_first_start: a drain that has never run is to be started when all other checks pass.
    """
    if not is_running and state is None and before_first_start:
        yield finding(
            CheckStatus.WARNING, "drain", "has never run", "start it when all other checks pass"
        )
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
        hint = "restart the service: the file may be of another version"
        yield finding(CheckStatus.UNKNOWN, "drain", "its state is not understood", hint)
        return
    yield life
    yield _cc_backend(state, now, limits)
    for name, health in (("starts", state.starts), ("stops", state.stops)):
        if health.state not in {None, HealthState.UP}:
            yield _down(f"cc-backend ({name})", health, now, limits)
    yield _deliveries(state, now)
    yield _slurm(state, now, limits)
    yield _disk(state)
    yield _parked(state.waiting, now)
    if state.unreadable_count:
        yield _unreadable_files(state)
    for warning in state.warnings:
        hint = "the drain goes on; the message may still be worth a look"
        yield finding(CheckStatus.WARNING, "drain warning", warning, hint)


def _last_once(state: DrainState, now: float, limits: AgeLimits) -> CheckResult:
    """Return the verdict on a drain that cron starts and that ends by itself."""
    age = now - (state.updated or 0.0)
    status = limits.status_at(age)
    hint = "" if status is CheckStatus.OK else "look at the cron line of `cc-spool drain --once`"
    return finding(status, "drain", f"ran once {format_duration(age)} ago", hint)


def _heartbeat(state: DrainState, now: float) -> CheckResult:
    age = now - (state.updated or 0.0)
    figure = PerfData(
        label="beacon_age",
        value=max(0.0, age),
        unit="s",
        warning=HEARTBEAT_WARNING_SECONDS,
        critical=HEARTBEAT_CRITICAL_SECONDS,
    )
    status = _HEARTBEAT_LIMITS.status_at(age)
    if status is not CheckStatus.OK:
        text = f"process {state.pid} has shown no sign of life for {format_duration(age)}"
        hint = "a Slurm command or the disk may hang; if it stays so, restart the service"
        return finding(status, "drain", text, hint, figure)
    return passed("drain", f"process {state.pid} runs for {format_age(state.started, now)}", figure)


def _cc_backend(state: DrainState, now: float, limits: AgeLimits) -> CheckResult:
    health = state.health
    halted = PerfData(label="halted", value=float(health.state is HealthState.HALTED), critical=1)
    if health.state is HealthState.HALTED:
        text = f"deliveries are halted for {format_age(health.since, now)}: {health.reason}"
        hint = (
            "they go on by themselves within 5 min, or at once when token or configuration change"
        )
        return finding(CheckStatus.CRITICAL, "cc-backend", text, hint, halted)
    if health.state is HealthState.DOWN:
        return _down("cc-backend", health, now, limits, halted)
    version = f"version {state.server_version or 'unknown'}, dialect {state.server_dialect}"
    text = version if state.server_version or state.server_dialect else "not asked yet"
    return passed("cc-backend", text, halted)


def _down(
    name: str, health: HealthReport, now: float, limits: AgeLimits, *perfdata: PerfData
) -> CheckResult:
    text = f"is down for {format_age(health.since, now)}: {health.reason}"
    status = limits.status_at(now - (now if health.since is None else health.since))
    hint = "" if status is CheckStatus.OK else "look at cc-backend; nothing is lost meanwhile"
    return finding(status, name, text, hint, *perfdata)


def _deliveries(state: DrainState, now: float) -> CheckResult:
    """Return whether something is delivered as long as something is due, whatever the cause."""
    figure = PerfData(label="deliveries_last_hour", value=state.deliveries_last_hour)
    if (
        state.health.state is HealthState.UP
        and state.due_since is not None
        and now - state.due_since >= STUCK_SECONDS
    ):
        text = (
            f"nothing has been delivered for {format_age(state.due_since, now)} although runs are"
            f" due and cc-backend answers{_last(state, now)}"
        )
        hint = "`cc-spool status` says what is waited for; the log of cc-spool says more"
        return finding(CheckStatus.CRITICAL, "deliveries", text, hint, figure)
    text = f"{state.deliveries_last_hour} in the last hour{_last(state, now)}"
    return passed("deliveries", text, figure)


def _last(state: DrainState, now: float) -> str:
    if state.last_delivery is None:
        return ""
    return f", the last one {format_age(state.last_delivery, now)} ago"


def _slurm(state: DrainState, now: float, limits: AgeLimits) -> CheckResult:
    silences = (
        ("has not answered", state.slurm_silent_since, "slurmctld"),
        ("accounting has not answered", state.accounting_silent_since, "slurmdbd"),
    )
    for what, since, daemon in silences:
        if since is not None:
            why = f": {state.slurm_reason}" if state.slurm_reason else ""
            status = limits.status_at(now - since)
            hint = "" if status is CheckStatus.OK else f"look at {daemon} and the paths in slurm.*"
            text = f"{what} for {format_age(since, now)}{why}"
            return finding(status, "slurm", text, hint)
    release = f" (release {state.slurm_release})" if state.slurm_release else ""
    return passed("slurm", f"answers{release}")


def _disk(state: DrainState) -> CheckResult:
    if state.disk_full:
        why = f": {state.disk_reason}" if state.disk_reason else ""
        hint = "free space on the spool's file system; nothing new is stored until then"
        return finding(CheckStatus.CRITICAL, "disk", f"the spool cannot be written{why}", hint)
    return passed("disk", "writable")


def _parked(waiting: tuple[WaitingCause, ...], now: float) -> CheckResult:
    """Return the verdict on the runs that have waited for one and the same cause for a while."""
    old = [cause for cause in waiting if now - (cause.since or 0.0) >= STUCK_SECONDS]
    figure = PerfData(label="parked", value=sum(cause.count for cause in old), warning=1)
    if not old:
        return passed("parked runs", "none", figure)
    named = "; ".join(waiting_line(cause, now) for cause in old[:MAX_NAMED])
    more = f"; and {len(old) - MAX_NAMED} more causes" if len(old) > MAX_NAMED else ""
    hint = "remove the cause; the runs follow by themselves, at once after `cc-spool retry ALL`"
    return finding(CheckStatus.WARNING, "parked runs", named + more, hint, figure)


def waiting_line(cause: WaitingCause, now: float) -> str:
    """Return a cause, how many runs wait for it and since when, as one line."""
    since = f" since {format_time(cause.since)}" if cause.since is not None else ""
    age = f" ({format_age(cause.since, now)})" if cause.since is not None else ""
    return f"{cause.cause}: {pluralize(cause.count, 'run')}{since}{age}"


def _unreadable_files(state: DrainState) -> CheckResult:
    named = "; ".join(f"{file.name}: {file.reason}" for file in state.unreadable[:MAX_NAMED])
    count = state.unreadable_count
    text = f"{pluralize(count, 'file')} in the spool cannot be read: {named}"
    hint = "repair the file's rights or the disk; the drain tries again by itself"
    return finding(CheckStatus.CRITICAL, "unreadable files", text, hint)

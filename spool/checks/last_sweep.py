"""Check the last sweep from `sweep.json`.

A refusal, and stops that wait for confirmation by the next sweep, raise an alarm until a sweep is
clean. A controller that has just been restarted and the first sweep of an installation do not,
because the next sweep acts.
"""

from __future__ import annotations

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
from spool.files.state_files import SWEEP_STATE_FILE
from spool.files.sweep_state import SweepSummary, read_sweep_summary
from spool.formatting import format_duration, pluralize

AGE_SECONDS = 1800.0  # three periods of the timer
CRITICAL_FACTOR = 8
_HARMLESS_GUARDS = frozenset({"boot", "first"})
_PLAN_HINT = "`cc-sweep plan` shows the reason; the next sweep checks again"
_TIMER_HINT = "run `systemctl enable --now cc-sweep.timer`, or add the cron line of docs/install.md"


def check_sweep_file(
    directory: Path, now: float, age_seconds: float, *, is_needed: bool
) -> CheckResult:
    """Return the check of the last sweep, read from `sweep.json` in the state directory."""
    try:
        summary = read_sweep_summary(directory)
    except (OSError, ValueError) as error:
        return unreadable("sweep", directory / SWEEP_STATE_FILE, error)
    return check_sweep(summary, now, age_seconds, is_needed=is_needed)


def check_sweep(
    summary: SweepSummary | None, now: float, age_seconds: float, *, is_needed: bool
) -> CheckResult:
    """Return the check of the last sweep from its summary.

    `summary` is None if no sweep has ever run here, `now` Unix seconds. An age above `age_seconds`
    is too old, and critical from eight times this age on. `is_needed`: this spool had jobs, so the
    hooks may have missed some.
    """
    if summary is None and is_needed:
        text = "no sweep has ever run: jobs that the hooks missed are not reported"
        return finding(CheckStatus.WARNING, "sweep", text, _TIMER_HINT)
    if summary is None:
        return passed("sweep", "no sweep has run on this host")
    age = now - (summary.started if summary.finished is None else summary.finished)
    limits = AgeLimits(warning_seconds=age_seconds, critical_seconds=CRITICAL_FACTOR * age_seconds)
    perfdata = (
        limits.perfdata("sweep_age", age),
        PerfData(label="drift", value=sum(summary.drift.values())),
    )
    if (status := limits.status_at(age)) is not CheckStatus.OK:
        word = "began" if summary.finished is None else "ended"
        text = f"the last sweep {word} {format_duration(age)} ago"
        hint = "check cc-sweep.timer or the cron line, and `journalctl -u cc-sweep`"
        return finding(status, "sweep", text, hint, *perfdata)
    if needs_attention(summary):
        return finding(CheckStatus.WARNING, "sweep", _refusal(summary), _PLAN_HINT, *perfdata)
    text = "running" if summary.finished is None else f"{format_duration(age)} ago"
    return passed("sweep", text, *perfdata)


def needs_attention(summary: SweepSummary) -> bool:
    """Return whether the last sweep refused or held stops back for a reason that may last."""
    guards = {*summary.guards, *summary.held_guards}
    is_harmless = bool(guards) and _HARMLESS_GUARDS.issuperset(guards)
    return bool(summary.refused or summary.held_stops) and not is_harmless


def _refusal(summary: SweepSummary) -> str:
    stops = pluralize(summary.held_stops, "stop")
    guards = summary.held_guards or summary.guards
    what = f"held back {stops}" if summary.held_stops else "refused to act"
    return f"the last sweep {what} (safety check: {', '.join(guards) or 'unknown'})"

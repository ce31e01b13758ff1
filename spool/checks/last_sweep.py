"""The last sweep by what it left in `sweep.json`.

A refusal, and ends that are held back for a second look, alarm until a sweep is clean; a
controller that has just been restarted does not, because the next sweep acts.
"""

from __future__ import annotations

from spool.checks.result import (
    AgeLimits,
    CheckResult,
    CheckStatus,
    PerfData,
    finding,
    passed,
)
from spool.files.sweep_state import SweepSummary
from spool.formatting import format_duration, pluralize

AGE_SECONDS = 1800.0  # three periods of the timer
CRITICAL_FACTOR = 8
_HARMLESS_GUARDS = frozenset({"boot"})
_PLAN_HINT = "run `cc-sweep plan`; the next sweep looks again at a refused plan"
_TIMER_HINT = "`systemctl enable --now cc-sweep.timer`, or the cron line of the README"


def check_sweep(
    summary: SweepSummary | None, now: float, age_seconds: float, *, is_needed: bool
) -> CheckResult:
    """Return the verdict on the last sweep.

    Args:
        summary: how it went; None: no sweep has ever run here.
        now: Unix seconds.
        age_seconds: from which age on it is too old; critical at eight times of it.
        is_needed: jobs have come through this spool: what the hooks missed is to be found.
    """
    if summary is None and is_needed:
        text = "no sweep has ever run: jobs that the hooks missed are not reported"
        return finding(CheckStatus.WARNING, "sweep", text, _TIMER_HINT)
    if summary is None:
        return passed("sweep", "none has run on this host")
    age = now - (summary.started if summary.finished is None else summary.finished)
    limits = AgeLimits(warning_seconds=age_seconds, critical_seconds=CRITICAL_FACTOR * age_seconds)
    perfdata = (
        PerfData(
            label="sweep_age",
            value=max(0.0, age),
            unit="s",
            warning=limits.warning_seconds,
            critical=limits.critical_seconds,
        ),
        PerfData(label="drift", value=sum(summary.drift.values())),
    )
    if (status := limits.status_at(age)) is not CheckStatus.OK:
        word = "began" if summary.finished is None else "ended"
        text = f"the last one {word} {format_duration(age)} ago"
        hint = "look at cc-sweep.timer or the cron line; the log of cc-sweep says why"
        return finding(status, "sweep", text, hint, *perfdata)
    guards = {*summary.guards, *summary.held_guards}
    is_harmless = bool(guards) and _HARMLESS_GUARDS.issuperset(guards)
    if (summary.refused or summary.held_stops) and not is_harmless:
        return finding(CheckStatus.WARNING, "sweep", _refusal(summary), _PLAN_HINT, *perfdata)
    text = "running" if summary.finished is None else f"{format_duration(age)} ago"
    return passed("sweep", text, *perfdata)


def _refusal(summary: SweepSummary) -> str:
    ends = pluralize(summary.held_stops, "end")
    guards = summary.held_guards or summary.guards
    what = f"holds {ends} back" if summary.held_stops else "refused to act"
    return f"the last one {what} ({', '.join(guards) or 'no safety check is named'})"

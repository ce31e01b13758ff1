"""The last sweep by its state file `sweep.json`; a site without one has no sweep set up.

A refusal, and ends that are held back for a second look, alarm until a sweep is clean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spool.checks.result import (
    AgeLimits,
    CheckResult,
    CheckStatus,
    PerfData,
    age_text,
    finding,
    passed,
)

AGE_SECONDS = 1800.0  # three periods of the timer
CRITICAL_FACTOR = 8
_PLAN_HINT = "run `cc-sweep plan`; a refused plan is looked at again by the next sweep"


def check_sweep(state: Mapping[str, Any] | None, now: float, age_seconds: float) -> CheckResult:
    """Return the verdict on the last sweep.

    Args:
        state: {"started": float, "finished": float | null, "refused": bool, "guards": [str],
            "drift": {kind: int}, "held": {"guards": [str], "stops": [...]} | null};
            None: no sweep has ever run here.
        now: Unix seconds.
        age_seconds: from which age on it is too old; critical at eight times of it.
    """
    if state is None:
        return passed("sweep", "none has run on this host")
    try:
        started, finished = float(state["started"]), state.get("finished")
        at = started if finished is None else float(finished)
        held = state.get("held") or {}
        stops, guards = len(held.get("stops") or ()), _guard_names(held) or _guard_names(state)
        drift = sum(map(int, (state.get("drift") or {}).values()))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return finding(
            CheckStatus.UNKNOWN, "sweep", f"its state is not understood: {error!r}", _PLAN_HINT
        )
    age, limits = now - at, _limits(age_seconds)
    figure = PerfData(
        label="sweep_age",
        value=max(0.0, age),
        unit="s",
        warning=limits.warning_seconds,
        critical=limits.critical_seconds,
    )
    perfdata = (figure, PerfData(label="drift", value=drift))
    status = limits.status_at(age)
    if status is not CheckStatus.OK:
        word = "began" if finished is None else "ended"
        hint = "look after the timer cc-sweep or the cron line; its log says why"
        return finding(status, "sweep", f"the last one {word} {age_text(age)} ago", hint, *perfdata)
    if state.get("refused") or stops:
        did = f"holds {stops} ends back" if stops else "refused to act"
        text = f"the last one {did} ({guards or 'no guard named'})"
        return finding(CheckStatus.WARNING, "sweep", text, _PLAN_HINT, *perfdata)
    return passed("sweep", "running" if finished is None else f"{age_text(age)} ago", *perfdata)


def _guard_names(part: Mapping[str, Any]) -> str:
    return ", ".join(map(str, part.get("guards") or ()))


def _limits(age_seconds: float) -> AgeLimits:
    return AgeLimits(warning_seconds=age_seconds, critical_seconds=CRITICAL_FACTOR * age_seconds)

"""The last sweep by its state file `sweep.json`; a site without one has no sweep set up.

A refusal, and ends that are held back for a second look, alarm until a sweep is clean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spool.checks.result import Figure, Limits, Result, Verdict, ago, bad, good

AGE_SECONDS = 1800.0  # three periods of the timer
CRITICAL_TIMES = 8
_LOOK = "run `cc-sweep plan`; a refused plan is looked at again by the next sweep"


def check_sweep(state: Mapping[str, Any] | None, now: float, age_seconds: float) -> Result:
    """Return the verdict on the last sweep.

    Args:
        state: {"started": float, "finished": float | null, "refused": bool, "guards": [str],
            "drift": {kind: int}, "held": {"guards": [str], "stops": [...]} | null};
            None: no sweep has ever run here.
        now: Unix seconds.
        age_seconds: from which age on it is too old; critical at eight times of it.
    """
    if state is None:
        return good("sweep", "none has run on this host")
    try:
        started, finished = float(state["started"]), state.get("finished")
        at = started if finished is None else float(finished)
        held = state.get("held") or {}
        stops, guards = len(held.get("stops") or ()), _words(held) or _words(state)
        drift = sum(map(int, (state.get("drift") or {}).values()))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return bad(Verdict.UNKNOWN, "sweep", f"its state is not understood: {error!r}", _LOOK)
    age, limits = now - at, _limits(age_seconds)
    figure = Figure(
        label="sweep_age",
        value=max(0.0, age),
        unit="s",
        warning=limits.warning_seconds,
        critical=limits.critical_seconds,
    )
    figures = (figure, Figure(label="drift", value=drift))
    verdict = limits.verdict(age)
    if verdict is not Verdict.OK:
        word = "began" if finished is None else "ended"
        hint = "look after the timer cc-sweep or the cron line; its log says why"
        return bad(verdict, "sweep", f"the last one {word} {ago(age)} ago", hint, *figures)
    if state.get("refused") or stops:
        did = f"holds {stops} ends back" if stops else "refused to act"
        text = f"the last one {did} ({guards or 'no guard named'})"
        return bad(Verdict.WARNING, "sweep", text, _LOOK, *figures)
    return good("sweep", "running" if finished is None else f"{ago(age)} ago", *figures)


def _words(part: Mapping[str, Any]) -> str:
    return ", ".join(map(str, part.get("guards") or ()))


def _limits(age_seconds: float) -> Limits:
    return Limits(warning_seconds=age_seconds, critical_seconds=CRITICAL_TIMES * age_seconds)

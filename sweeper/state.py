"""What a sweep leaves behind: `sweep.json` in the state directory, replaced whole and durably.

    {"started": float, "finished": float | null, "pid": int, "refused": bool, "guards": [str],
     "drift": {"start": n, "stop": n, "close": n, "report": n}, "mark": int | null,
     "cluster": str | null, "running": int | null, "sweep": n, "held": {...} | null, ...}

`mark` is the begin of the last sweep that looked at all of accounting's window and applied what it
found; it moves after success only. `cc-spool status` and `check` read this file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spool.files.state_files import SWEEP_STATE_FILE, read_json, write_json
from sweeper.diff import Drift, SweepMemory
from sweeper.guard import HeldBackStops
from sweeper.values import Plan, RunId, Start

REMEMBER_STARTS_SECONDS = 30 * 86400
_REMEMBER_STOPS_SWEEPS = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepState:
    """What the sweeps before left behind; without any, the defaults."""

    mark: int | None = None
    cluster: str | None = None
    running_baseline: int | None = None
    held_stops: HeldBackStops | None = None
    memory: SweepMemory = field(default_factory=SweepMemory)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSummary:
    """How a sweep went, for people and monitoring."""

    started: float
    finished: float | None
    pid: int
    refused: bool = False
    guards: tuple[str, ...] = ()
    drift: Mapping[str, int] = field(default_factory=dict)


def read_state(directory: Path) -> SweepState:
    """Return what the last sweep left; defaults where there was none or the file is damaged."""
    found = read_json(directory / SWEEP_STATE_FILE)
    try:
        return SweepState(
            mark=_optional_int(found.get("mark")),
            cluster=found.get("cluster") or None,
            running_baseline=_optional_int(found.get("running")),
            held_stops=_held_stops_of(found.get("held")),
            memory=SweepMemory(
                sweep=int(found.get("sweep", 0)),
                young_stops=frozenset(_key_of_text(text) for text in found.get("young", ())),
                unproven_since=_numbers_by_run(found.get("undecided", {})),
                stops_queued=_numbers_by_run(found.get("told", {})),
                starts_queued=_numbers_by_run(found.get("asked", {})),
            ),
        )
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        _log.warning("%s is not understood, as if no sweep had been: %r", SWEEP_STATE_FILE, error)
        return SweepState()  # as at a first sweep: it looks before it acts


def read_summary(directory: Path, *, started: float, pid: int) -> SweepSummary:
    """Return how the last sweep went, as a new one begins: a refusal stays visible meanwhile."""
    found = read_json(directory / SWEEP_STATE_FILE)
    try:
        drift = {str(kind): int(count) for kind, count in found.get("drift", {}).items()}
        guards = tuple(map(str, found.get("guards", ())))
    except (TypeError, ValueError, AttributeError):
        drift, guards = {}, ()
    return SweepSummary(
        started=started,
        finished=None,
        pid=pid,
        refused=found.get("refused") is True,
        guards=guards,
        drift=drift,
    )


def write_state(directory: Path, state: SweepState, summary: SweepSummary) -> None:
    """Replace the file.

    Raises:
        OSError: the old file is still there.
    """
    duration = None if summary.finished is None else summary.finished - summary.started
    document: dict[str, Any] = {
        "started": summary.started,
        "finished": summary.finished,
        "duration_seconds": duration,
        "pid": summary.pid,
        "refused": summary.refused,
        "guards": list(summary.guards),
        "drift": dict(summary.drift),
        "mark": state.mark,
        "cluster": state.cluster,
        "running": state.running_baseline,
        "sweep": state.memory.sweep,
        "held": _held_stops_document(state.held_stops),
        "young": sorted(map(_text_of_key, state.memory.young_stops)),
        "undecided": _numbers_by_text(state.memory.unproven_since),
        "told": _numbers_by_text(state.memory.stops_queued),
        "asked": _numbers_by_text(state.memory.starts_queued),
    }
    write_json(directory / SWEEP_STATE_FILE, document)


def next_memory(
    memory: SweepMemory, drift: Drift, plan: Plan, applied: Iterable[RunId], now: int
) -> SweepMemory:
    """Return the memory for the next sweep.

    Args:
        memory: of this sweep.
        drift: what it found.
        plan: what it did about it.
        applied: runs whose change was put into the spool.
        now: Unix seconds.
    """
    number = memory.sweep + 1
    done = frozenset(applied)
    starts = [change for change in plan.changes if isinstance(change, Start)]
    over = {start.key for start in starts if start.job.end_time is not None} & done
    ended = done - {start.key for start in starts}
    kept = {
        key: sweep
        for key, sweep in memory.stops_queued.items()
        if number - sweep <= _REMEMBER_STOPS_SWEEPS
    }
    old = {
        key: time
        for key, time in memory.starts_queued.items()
        if now - time < REMEMBER_STARTS_SECONDS
    }
    return replace(
        memory,
        sweep=number,
        young_stops=frozenset(drift.young_stops),
        unproven_since=dict(drift.unproven_since),
        stops_queued={**kept, **dict.fromkeys(ended, number)},
        starts_queued={**old, **dict.fromkeys(over, now)},
    )


def _held_stops_of(found: Any) -> HeldBackStops | None:
    if found is None:
        return None
    return HeldBackStops(
        time=int(found["time"]),
        guards=tuple(map(str, found["guards"])),
        stops=frozenset(_key_of_text(text) for text in found["stops"]),
    )


def _held_stops_document(held: HeldBackStops | None) -> dict[str, Any] | None:
    if held is None:
        return None
    return {
        "time": held.time,
        "guards": list(held.guards),
        "stops": sorted(map(_text_of_key, held.stops)),
    }


def _optional_int(value: Any) -> int | None:
    return None if value is None else int(value)


def _key_of_text(text: str) -> RunId:
    job_id, _, start = text.partition("-")
    return RunId(int(job_id), int(start))


def _text_of_key(key: RunId) -> str:
    return f"{key.job_id}-{key.start_time}"


def _numbers_by_run(found: Mapping[str, Any]) -> dict[RunId, int]:
    return {_key_of_text(text): int(value) for text, value in found.items()}


def _numbers_by_text(times: Mapping[RunId, int]) -> dict[str, int]:
    return {_text_of_key(key): value for key, value in sorted(times.items())}

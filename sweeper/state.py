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
from sweeper.diff import Drift, Memory
from sweeper.guard import Held
from sweeper.values import Key, Plan, Start

ASKED_SECONDS = 30 * 86400
_SWEEPS_KEPT = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the sweeps before left behind; without any, the defaults."""

    mark: int | None = None
    cluster: str | None = None
    running: int | None = None
    held: Held | None = None
    memory: Memory = field(default_factory=Memory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a sweep went, for people and monitoring."""

    started: float
    finished: float | None
    pid: int
    refused: bool = False
    guards: tuple[str, ...] = ()
    drift: Mapping[str, int] = field(default_factory=dict)


def read_state(directory: Path) -> State:
    """Return what the last sweep left; defaults where there was none or the file is damaged."""
    found = read_json(directory / SWEEP_STATE_FILE)
    try:
        return State(
            mark=_optional(found.get("mark")),
            cluster=found.get("cluster") or None,
            running=_optional(found.get("running")),
            held=_held(found.get("held")),
            memory=Memory(
                sweep=int(found.get("sweep", 0)),
                young=frozenset(_key(text) for text in found.get("young", ())),
                undecided=_times(found.get("undecided", {})),
                told=_times(found.get("told", {})),
                asked=_times(found.get("asked", {})),
            ),
        )
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        _log.warning("%s is not understood, as if no sweep had been: %r", SWEEP_STATE_FILE, error)
        return State()  # as at a first sweep: it looks before it acts


def read_summary(directory: Path, *, started: float, pid: int) -> Summary:
    """Return how the last sweep went, as a new one begins: a refusal stays visible meanwhile."""
    found = read_json(directory / SWEEP_STATE_FILE)
    try:
        drift = {str(kind): int(count) for kind, count in found.get("drift", {}).items()}
        guards = tuple(map(str, found.get("guards", ())))
    except (TypeError, ValueError, AttributeError):
        drift, guards = {}, ()
    return Summary(
        started=started,
        finished=None,
        pid=pid,
        refused=found.get("refused") is True,
        guards=guards,
        drift=drift,
    )


def write_state(directory: Path, state: State, summary: Summary) -> None:
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
        "running": state.running,
        "sweep": state.memory.sweep,
        "held": _plain(state.held),
        "young": sorted(map(_text, state.memory.young)),
        "undecided": _texts(state.memory.undecided),
        "told": _texts(state.memory.told),
        "asked": _texts(state.memory.asked),
    }
    write_json(directory / SWEEP_STATE_FILE, document)


def remember(memory: Memory, drift: Drift, plan: Plan, applied: Iterable[Key], now: int) -> Memory:
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
    kept = {key: sweep for key, sweep in memory.told.items() if number - sweep <= _SWEEPS_KEPT}
    old = {key: time for key, time in memory.asked.items() if now - time < ASKED_SECONDS}
    return replace(
        memory,
        sweep=number,
        young=frozenset(drift.young),
        undecided=dict(drift.undecided),
        told={**kept, **dict.fromkeys(ended, number)},
        asked={**old, **dict.fromkeys(over, now)},
    )


def _held(found: Any) -> Held | None:
    if found is None:
        return None
    return Held(
        time=int(found["time"]),
        guards=tuple(map(str, found["guards"])),
        stops=frozenset(_key(text) for text in found["stops"]),
    )


def _plain(held: Held | None) -> dict[str, Any] | None:
    if held is None:
        return None
    return {
        "time": held.time,
        "guards": list(held.guards),
        "stops": sorted(map(_text, held.stops)),
    }


def _optional(value: Any) -> int | None:
    return None if value is None else int(value)


def _key(text: str) -> Key:
    job_id, _, start = text.partition("-")
    return Key(int(job_id), int(start))


def _text(key: Key) -> str:
    return f"{key.job_id}-{key.start_time}"


def _times(found: Mapping[str, Any]) -> dict[Key, int]:
    return {_key(text): int(value) for text, value in found.items()}


def _texts(times: Mapping[Key, int]) -> dict[str, int]:
    return {_text(key): value for key, value in sorted(times.items())}

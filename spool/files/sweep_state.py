"""The state of the sweeper: `sweep.json` in the state directory, replaced atomically.

    {"started": float, "finished": float | null, "duration_seconds": float | null, "pid": int,
     "refused": bool, "guards": [str], "drift": {"start": n, "stop": n, "close": n, "report": n},
     "mark": int | null, "installed": int | null, "cluster": str | null, "running": int | null,
     "succeeded": float | null, "refusals": {"GUARD": n},
     "sweep": n, "held": {"time": int, "guards": [str], "stops": ["JOBID-START"]} | null,
     "young_stops": ["JOBID-START"], "unproven_since": {...}, "stops_queued": {...},
     "starts_queued": {...}}

The last three map `JOBID-START` to a number, see `SweepMemory`. `cc-spool status` and `check` read
the summary; the sweeper reads and writes both parts. Instants are Unix seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path

from slurm.light_dataclass import light_dataclass
from slurm.type_names import TYPE_CHECKING, Any
from spool.files.state_files import SWEEP_STATE_FILE, read_json, write_json
from spool.files.state_values import MAX_NUMBER

FIRST_SWEEP = "first"  # the safety check of a site without a sweep; it holds back what it found

if TYPE_CHECKING:
    from spool.files.run_id import RunId

_KEYS_OF_0_1 = {
    "young": "young_stops",
    "undecided": "unproven_since",
    "told": "stops_queued",
    "asked": "starts_queued",
}
_PARSE_ERRORS = (TypeError, ValueError, AttributeError, KeyError, OverflowError)


@light_dataclass
class SweepSummary:
    """The result of the last sweep, for people and monitoring.

    `finished` is None while a sweep runs, or if it crashed. `refused`: a safety check needs
    attention; `guards` names every check that failed. `drift` counts differences by kind.
    `held_stops` is how many stops wait for the next sweep, `held_guards` the checks that hold them.
    `succeeded` is when a sweep last ended without a refusal, `refusals` counts the sweeps in which
    a check failed, by check.
    """

    started: float
    finished: float | None
    pid: int
    refused: bool = False
    guards: tuple[str, ...] = ()
    drift: Mapping[str, int] = field(default_factory=dict)
    held_stops: int = 0
    held_guards: tuple[str, ...] = ()
    succeeded: float | None = None
    refusals: Mapping[str, int] = field(default_factory=dict)

    @property
    def duration_seconds(self) -> float | None:
        """Return how long the sweep took; None if it has not finished."""
        return None if self.finished is None else self.finished - self.started


@light_dataclass
class HeldBackStops:
    """The stops that a sweep left for the next sweep to confirm: when, which checks, which runs."""

    time: int
    guards: tuple[str, ...]
    stops: frozenset[RunId] = field(default_factory=frozenset)


@light_dataclass
class SweepMemory:
    """The facts about single runs that earlier sweeps recorded.

    `young_stops` were stop candidates too young to act. `unproven_since` maps runs whose end
    nothing proves to when that was first seen. `stops_queued` maps runs whose end was queued to the
    number of the sweep that did, `starts_queued` ended runs never seen at cc-backend to when they
    were queued. `sweep` counts sweeps.
    """

    sweep: int = 0
    young_stops: frozenset[RunId] = frozenset()
    unproven_since: Mapping[RunId, int] = field(default_factory=dict)
    stops_queued: Mapping[RunId, int] = field(default_factory=dict)
    starts_queued: Mapping[RunId, int] = field(default_factory=dict)


@light_dataclass
class SweepState:
    """The state at the beginning of a sweep; the defaults before the first sweep.

    `mark` is the time until which accounting's window was read and repaired: the begin of the last
    sweep that read all of it, else the end of the part that was read.
    `installed` is the first mark: jobs that ended before it are only reported by `cc-sweep
    backfill`; None if an older version set the first mark. `cluster` is Slurm's own name of the
    cluster. `running_baseline` is the number of running jobs that the next sweep compares with.
    """

    mark: int | None = None
    installed: int | None = None
    cluster: str | None = None
    running_baseline: int | None = None
    held_stops: HeldBackStops | None = None
    memory: SweepMemory = field(default_factory=SweepMemory)


def read_sweep_state(directory: Path) -> SweepState:
    """Return the state of the last sweep; the defaults if there is none or the file is damaged."""
    written = read_json(directory / SWEEP_STATE_FILE)
    found = {_KEYS_OF_0_1.get(key, key): value for key, value in written.items()}
    try:
        return SweepState(
            mark=_optional_whole(found.get("mark")),
            installed=_optional_whole(found.get("installed")),
            cluster=found.get("cluster") or None,
            running_baseline=_optional_whole(found.get("running")),
            held_stops=_held_stops_of(found.get("held")),
            memory=SweepMemory(
                sweep=int(found.get("sweep", 0)),
                young_stops=frozenset(_id_of_text(text) for text in found.get("young_stops", ())),
                unproven_since=_numbers_by_run(found.get("unproven_since", {})),
                stops_queued=_numbers_by_run(found.get("stops_queued", {})),
                starts_queued=_numbers_by_run(found.get("starts_queued", {})),
            ),
        )
    except _PARSE_ERRORS as error:
        logging.getLogger(__name__).warning(
            "%s cannot be read (%r); it is ignored, as before a first sweep",
            directory / SWEEP_STATE_FILE,
            error,
        )
        return SweepState()  # like a first sweep, which leaves its stops to the next one


def read_sweep_summary(directory: Path) -> SweepSummary | None:
    """Return the result of the last sweep; None if no sweep has run.

    Raises:
        ValueError: the file exists and is not valid.
    """
    path = directory / SWEEP_STATE_FILE
    found = read_json(path)
    if not found and not path.exists():
        return None
    try:
        held = _held_stops_of(found.get("held"))
        return SweepSummary(
            started=_finite(found["started"]),
            finished=_optional_finite(found.get("finished")),
            pid=int(found.get("pid", 0)),
            refused=found.get("refused") is True,
            guards=tuple(map(str, found.get("guards", ()))),
            drift={str(kind): _whole(count) for kind, count in found.get("drift", {}).items()},
            held_stops=0 if held is None else len(held.stops),
            held_guards=() if held is None else held.guards,
            succeeded=_optional_finite(found.get("succeeded")),
            refusals={str(guard): _whole(n) for guard, n in found.get("refusals", {}).items()},
        )
    except _PARSE_ERRORS as error:
        raise ValueError(f"{path} is not valid: {error!r}") from error


def begin_sweep_summary(directory: Path, *, started: float, pid: int) -> SweepSummary:
    """Return the summary of a starting sweep; it keeps the results of the last sweep."""
    try:
        last = read_sweep_summary(directory)
    except ValueError:
        last = None
    if last is None:
        return SweepSummary(started=started, finished=None, pid=pid)
    # A sweep that hangs or is killed must not silence the alarm of the one before.
    return replace(last, started=started, finished=None, pid=pid)


def write_sweep_state(directory: Path, state: SweepState, summary: SweepSummary) -> None:
    """Write `state` and `summary` to `sweep.json`; the held stops are those of `state`.

    Raises:
        OSError: the old file is still there.
    """
    # One file and one rename: the mark, the held stops and the summary are always of one sweep.
    document: dict[str, Any] = {
        "started": summary.started,
        "finished": summary.finished,
        "duration_seconds": summary.duration_seconds,
        "pid": summary.pid,
        "refused": summary.refused,
        "guards": list(summary.guards),
        "drift": dict(summary.drift),
        "succeeded": summary.succeeded,
        "refusals": dict(summary.refusals),
        "mark": state.mark,
        "installed": state.installed,
        "cluster": state.cluster,
        "running": state.running_baseline,
        "sweep": state.memory.sweep,
        "held": _held_stops_document(state.held_stops),
        "young_stops": sorted(map(_text_of_id, state.memory.young_stops)),
        "unproven_since": _numbers_by_text(state.memory.unproven_since),
        "stops_queued": _numbers_by_text(state.memory.stops_queued),
        "starts_queued": _numbers_by_text(state.memory.starts_queued),
    }
    write_json(directory / SWEEP_STATE_FILE, document)


def _held_stops_of(found: Any) -> HeldBackStops | None:
    if found is None:
        return None
    return HeldBackStops(
        time=_whole(found["time"]),
        guards=tuple(map(str, found["guards"])),
        stops=frozenset(_id_of_text(text) for text in found["stops"]),
    )


def _held_stops_document(held: HeldBackStops | None) -> dict[str, Any] | None:
    if held is None:
        return None
    return {
        "time": held.time,
        "guards": list(held.guards),
        "stops": sorted(map(_text_of_id, held.stops)),
    }


def _optional_whole(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _optional_finite(value: Any) -> float | None:
    return None if value is None else _finite(value)


def _whole(value: Any) -> int:
    return int(_finite(value))


def _finite(value: Any) -> float:
    """Return the value as a float; raise `ValueError` for NaN, infinity and huge numbers."""
    number = float(value)
    if not abs(number) < MAX_NUMBER:
        raise ValueError(f"the number {number} is too large")
    return number


def _id_of_text(text: str) -> RunId:
    from spool.files.run_id import RunId  # noqa: PLC0415 - `status` reads only the summary

    job_id, _, start = text.partition("-")
    return RunId(int(job_id), int(start))


def _text_of_id(run_id: RunId) -> str:
    return f"{run_id.job_id}-{run_id.start_time}"


def _numbers_by_run(found: Mapping[str, Any]) -> dict[RunId, int]:
    return {_id_of_text(text): int(value) for text, value in found.items()}


def _numbers_by_text(numbers: Mapping[RunId, int]) -> dict[str, int]:
    return {_text_of_id(run_id): number for run_id, number in sorted(numbers.items())}

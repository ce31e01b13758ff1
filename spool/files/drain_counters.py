"""The counters of the drain, kept in `drain.json` so that a restart does not reset them.

A damaged or older file gives counters of zero: for Prometheus this is a reset, as after a restart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field

from slurm.light_dataclass import light_dataclass
from slurm.type_names import Any
from spool.files.state_values import object_in

LATENCY_BOUNDS = (
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    *(60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0),
)
"""The upper bounds of the intervals of a latency, seconds; the last interval has none."""
MAX_COUNT = 2**53  # exact as a float, which metrics are
_WORD = re.compile(r"[a-z_]{1,40}", re.ASCII)


def _no_latencies() -> tuple[int, ...]:
    return (0,) * (len(LATENCY_BOUNDS) + 1)


@light_dataclass
class LatencyCounts:
    """How many requests took how long: a number for each interval, and the sum of seconds."""

    counts: tuple[int, ...] = field(default_factory=_no_latencies)
    seconds: float = 0.0


@light_dataclass
class DrainCounters:
    """What the drain has counted.

    `events` are by source (`hook`, `command`) and kind, `answers` of cc-backend by request and
    outcome, `retries` by request. `latencies` are by request (`start`, `stop`): from the hook's
    event, or from when a run was first seen, to the acceptance.
    """

    events: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    answers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    retries: Mapping[str, int] = field(default_factory=dict)
    latencies: Mapping[str, LatencyCounts] = field(default_factory=dict)


def drain_counters(value: Any) -> DrainCounters:
    """Return the counters in a JSON value; invalid or missing ones are zero."""
    found = _members(value)
    return DrainCounters(
        events={name: _numbers(each) for name, each in _members(found.get("events")).items()},
        answers={name: _numbers(each) for name, each in _members(found.get("answers")).items()},
        retries=_numbers(found.get("retries")),
        latencies={name: _latency(each) for name, each in _members(found.get("latencies")).items()},
    )


def _members(value: Any) -> dict[str, Any]:
    return {name: each for name, each in object_in(value).items() if _WORD.fullmatch(name)}


def _numbers(value: Any) -> dict[str, int]:
    return {name: each for name, each in _members(value).items() if _is_count(each)}


def _latency(value: Any) -> LatencyCounts:
    found = _members(value)
    counts, seconds = found.get("counts"), found.get("seconds")
    if not isinstance(counts, list) or not isinstance(seconds, int | float):
        return LatencyCounts()
    is_complete = len(counts) == len(LATENCY_BOUNDS) + 1 and all(map(_is_count, counts))
    if not is_complete or not 0 <= seconds < MAX_COUNT:
        return LatencyCounts()
    return LatencyCounts(counts=tuple(counts), seconds=float(seconds))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_COUNT

"""Format instants, durations, counts and tables for people. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

_STEPS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = r"(?:[0-9]{1,9}[smhdw] *)+|[0-9]{1,12}"
_PART = r"([0-9]+)([smhdw]?)"
NO_TIME = "-"
_DIFFERENCES = {
    "start": "missing start",
    "stop": "missing stop",
    "close": "stale run",
    "report": "other difference",
}


def format_time(seconds: float | None) -> str:
    """Return an instant (Unix seconds) as local time with its UTC offset; `-` for None."""
    if seconds is None:
        return NO_TIME
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):  # a value from a damaged file
        return "an invalid time"


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units: `45s`, `12m 05s`, `2h 05m`, `3d 04h`."""
    left = max(0, int(seconds))
    for (size, unit), (next_size, next_unit) in pairwise(_STEPS):
        if left >= size:
            return f"{left // size}{unit} {left % size // next_size:02d}{next_unit}"
    return f"{left}s"


def format_age(since: float | None, now: float) -> str:
    """Return how long ago an instant was; `-` for None."""
    return NO_TIME if since is None else format_duration(now - since)


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as `90`, `45s`, `2h 05m`, `3d` or `1w`.

    Raises:
        ValueError: it is not a duration.
    """
    if not re.fullmatch(_DURATION, text.strip()):
        raise ValueError(f"expected a duration such as 90, 45s, 2h 05m or 3d, got {text!r}")
    return float(
        sum(int(number) * UNIT_SECONDS[unit or "s"] for number, unit in re.findall(_PART, text))
    )


def format_table(rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a table's lines with aligned columns: numbers to the right, text to the left."""
    columns = [_column([str(cell) for cell in column]) for column in zip(*rows, strict=True)]
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def pluralize(number: int, what: str) -> str:
    """Return a number with its noun, for nouns with a regular plural: `1 run`, `2 runs`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def format_drift(drift: Mapping[str, int], *, is_refused: bool) -> str:
    """Return, as text, how many differences of each kind a plan has.

    `is_refused`: a safety check may have kept the sweep from looking for differences.
    """
    found = [pluralize(n, _DIFFERENCES.get(kind, kind)) for kind, n in drift.items() if n]
    none = "nothing to repair" if drift and not is_refused else "differences unknown"
    return ", ".join(found) or none


def _column(cells: list[str]) -> list[str]:
    width = max(map(len, cells))
    if all(cell.isdigit() for cell in cells[1:]):
        return [cell.rjust(width) for cell in cells]
    return [cell.ljust(width) for cell in cells]

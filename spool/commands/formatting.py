"""Times and tables as the commands write them. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

_STEPS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def format_time(seconds: float | None) -> str:
    """Return an instant (Unix seconds) in local time with its offset; `-` for none."""
    if seconds is None:
        return "-"
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):  # a damaged state file
        return "at no possible time"


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for size, unit in _STEPS:
        number, left = divmod(left, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])


def format_table(rows: Iterable[Sequence[object]]) -> list[str]:
    """Return lines in columns below a head: of numbers to the right, of words to the left."""
    columns = [_column([str(cell) for cell in column]) for column in zip(*rows, strict=True)]
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def pluralize(number: int, what: str) -> str:
    """Return a number with its noun."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _column(cells: list[str]) -> list[str]:
    width = max(map(len, cells))
    if all(cell.isdigit() for cell in cells[1:]):
        return [cell.rjust(width) for cell in cells]
    return [cell.ljust(width) for cell in cells]

"""Times and tables as the commands write them. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

_STEPS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def instant(seconds: float | None) -> str:
    """Return an instant (Unix seconds) in local time with its offset; `-` for none."""
    if seconds is None:
        return "-"
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):  # a damaged state file
        return "at no possible time"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for size, unit in _STEPS:
        number, left = divmod(left, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])


def table(rows: Iterable[Sequence[object]]) -> list[str]:
    """Return lines in columns: numbers to the right, words to the left."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(_aligned, row, widths)).rstrip() for row in cells]


def count(number: int, what: str) -> str:
    """Return a number with its noun."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _aligned(cell: str, width: int) -> str:
    return cell.rjust(width) if cell.isdigit() else cell.ljust(width)

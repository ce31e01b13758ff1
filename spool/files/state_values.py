"""Check values of state files; an unexpected one counts as unknown: a file may be damaged."""

from __future__ import annotations

from slurm.type_names import Any

MAX_NUMBER = 1e12  # no clock and no counter shows more, and it can be formatted


def instant(value: Any) -> float | None:
    """Return the value as a float (a time or duration, seconds); None if no number or too large."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < MAX_NUMBER else None  # neither NaN nor infinite


def whole_number(value: Any) -> int | None:
    """Return the value if it is an int (no bool) of at most 12 digits, else None."""
    return value if type(value) is int and abs(value) < MAX_NUMBER else None


def count(value: Any) -> int:
    """Return the value as a count; 0 if it is negative or no whole number."""
    return max(0, whole_number(value) or 0)


def text(value: Any) -> str | None:
    """Return the value if it is a string, else None."""
    return value if isinstance(value, str) else None


def list_in(value: Any) -> list[Any]:
    """Return the value if it is a list, else an empty list."""
    return value if isinstance(value, list) else []


def object_in(value: Any) -> dict[str, Any]:
    """Return the value if it is a JSON object (a dict), else an empty one."""
    return value if isinstance(value, dict) else {}

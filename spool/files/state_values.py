"""Values in state files; one that is not as expected counts as unknown: a file may be damaged."""

from __future__ import annotations

from slurm.type_names import Any

MAX_NUMBER = 1e12  # no clock and no counter shows more, and it can be formatted


def instant(value: Any) -> float | None:
    """Return a time or a duration in seconds; None if it is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < MAX_NUMBER else None  # neither NaN nor infinite


def whole_number(value: Any) -> int | None:
    """Return a number without a fraction; None if it is not one."""
    return value if type(value) is int and abs(value) < MAX_NUMBER else None


def count(value: Any) -> int:
    """Return a count; 0 if it is not one."""
    return max(0, whole_number(value) or 0)


def text(value: Any) -> str | None:
    """Return a text; None if it is not one."""
    return value if isinstance(value, str) else None


def list_in(value: Any) -> list[Any]:
    """Return a list; an empty one if it is not one."""
    return value if isinstance(value, list) else []


def object_in(value: Any) -> dict[str, Any]:
    """Return a JSON object; an empty one if it is not one."""
    return value if isinstance(value, dict) else {}

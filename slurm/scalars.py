"""Numbers, texts and state words as the JSON of nine releases spells them.

Wrapped numbers are `{"set": bool, "infinite": bool, "number": int}` from 23.02 on; complex mode
gives plain values, null or "Infinity" (Slurm `src/plugins/data_parser`, 23.02 ... 26.05).
"""

from __future__ import annotations

from typing import Any

MISSING = frozenset({"", "(null)", "None", "None assigned", "N/A", "Unknown"})
FLAGS = frozenset(
    {
        "COMPLETING",
        "CONFIGURING",
        "EXPEDITING",
        "GETENV_FAILED",
        "LAUNCH_FAILED",
        "POWER_UP_NODE",
        "RECONFIG_FAIL",
        "REQUEUED",
        "REQUEUE_FED",
        "REQUEUE_HOLD",
        "RESIZING",
        "RESV_DEL_HOLD",
        "REVOKED",
        "SIGNALING",
        "SPECIAL_EXIT",
        "STAGE_OUT",
        "STOPPED",
        "UPDATE_DB",
    }
)
"""State words that are flags: beside a base state (lists), or hiding it (single words)."""


def number(value: Any) -> int | None:
    """Return an integer, or None where it is unset, unlimited or absent.

    Raises:
        ValueError: it is nothing of that kind.
    """
    if isinstance(value, dict):
        return number(value.get("number")) if value.get("set") else None
    if value is None or value == "Infinity":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a number is expected, not {value!r}")  # noqa: TRY004 - bad data, not a bug
    return int(value)


def positive(value: Any) -> int | None:
    """Return an integer above 0, else None: Slurm writes 0 for *none*."""
    found = number(value)
    return found if found is not None and found > 0 else None


def text(value: Any) -> str | None:
    """Return a text, or None where Slurm says that there is none."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"a text is expected, not {value!r}")  # noqa: TRY004 - as above
    return None if value in MISSING else value


def state_words(value: Any) -> tuple[str | None, tuple[str, ...]]:
    """Return base state (None where a flag hides it) and flags of a job.

    A list has the base state first (23.11 on), a single word hides it behind a flag.
    """
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"state words are expected, not {value!r}")
    if isinstance(value, str):
        words = words[:1]  # `CANCELLED by 1000`
    bases = [word for word in words if word not in FLAGS]
    return (bases[0] if bases else None), tuple(word for word in words if word in FLAGS)

"""Parsers of numbers, instants and texts of all releases, in JSON and in text.

Wrapped numbers are `{"set": bool, "infinite": bool, "number": int}` from 23.02 on; complex mode
gives plain values, null or "Infinity" (Slurm `src/plugins/data_parser`, 23.02 ... 26.05).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from slurm.errors import excerpt

NO_VALUE_WORDS = frozenset({"", "(null)", "None", "None assigned", "N/A", "Unknown"})
NO_VALUE = 0xFFFFFFF0  # NO_VAL 0xfffffffe and INFINITE 0xffffffff printed as if they were times
_LARGEST = 1 << 62
MAX_DIGITS = 18
MAX_MESSAGE = 200
UNLIMITED_WORDS = frozenset({"Infinity", "INFINITE", "UNLIMITED"})
_NUMBER = re.compile(r"(-?[0-9]{1,18})(?:\.0*)?")
_LIMIT = re.compile(r"(?:(\d{1,6})-)?(?:(\d{1,9}):)?(\d{1,9}):(\d\d)")


def unexpected(what: str, value: Any) -> ValueError:
    """Return the `ValueError` for a value that no release prints; `what` is what was expected."""
    return ValueError(f"expected {what}, got {value!r}"[:MAX_MESSAGE])


def number(value: Any) -> int | None:
    """Return an integer, or None where it is unset, unlimited or absent.

    Plain, wrapped, as text (`"7"`), as float (`7.0`) and alone in a list: all mean the same number.

    Raises:
        ValueError: it is not an integer in one of these forms.
    """
    if type(value) is int and -_LARGEST < value < _LARGEST:  # the most common case
        return value
    plain = _without_wrapper(value)
    if isinstance(plain, str):
        if plain in NO_VALUE_WORDS | UNLIMITED_WORDS:
            return None
        found = _NUMBER.fullmatch(plain)
        plain = int(found[1]) if found else plain
    if plain is None:
        return None
    # A bool is an int in Python; Slurm prints one only where a key has another meaning.
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise unexpected("a number", value)
    if not -_LARGEST < plain < _LARGEST:
        raise ValueError(f"the number {plain!r} is out of range"[:MAX_MESSAGE])
    return int(plain)


def _without_wrapper(value: Any) -> Any:
    """Return the value inside a wrapped number or a list of one value, each removed once."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return value
    # `number` is 0 or the old value in these cases, and must not be looked at.
    if value.get("infinite") or not value.get("set", True):
        return None
    if "number" not in value:
        raise unexpected("a number", value)
    return value["number"]


def positive(value: Any) -> int | None:
    """Return an integer above 0, else None: Slurm writes 0 for *none*."""
    found = number(value)
    return found if found is not None and found > 0 else None


def instant(value: Any) -> int | None:
    """Return Unix seconds; None for 0 and for Slurm's marks of *no value* (4294967294)."""
    found = positive(value)
    return found if found is not None and found < NO_VALUE else None


def epoch_seconds(value: str) -> int | None:
    """Return the Unix seconds of a time in text; None for words that mean *no time*.

    Raises:
        ValueError: it is a date without a zone. SLURM_TIME_FORMAT did not reach Slurm's command, so
            TZ may be lost too: the zone is unknown, and a wrong start time would mean another run.
    """
    # Dates are never read as local time: a wrong time zone would move the start by hours, and job
    # id and start identify the run at cc-backend.
    found = digits(value)
    if found is None:
        found = _zoned_instant(value)
    if found is None and any(character.isdigit() for character in value):
        message = (
            f"expected a time in epoch seconds, got {excerpt(value)!r}: a wrapper of Slurm's"
            " commands must pass on SLURM_TIME_FORMAT and TZ (sudo and `env -i` drop them)"
        )
        raise ValueError(message)
    return instant(found)


def utc_instant(text: str) -> int | None:
    """Parse epoch seconds or ISO 8601 (UTC if it names no zone) to Unix seconds; None: neither."""
    try:
        if text.isdigit():
            return int(text)
        found = datetime.fromisoformat(text)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except ValueError:
        return None


def _zoned_instant(text: str) -> int | None:
    """Return the Unix seconds of an ISO 8601 time with a zone; None for any other text."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int(found.timestamp()) if found.tzinfo else None


def text(value: Any) -> str | None:
    """Return a text, or None for the words that mean *no value*.

    Raises:
        ValueError: it is not text.
    """
    found = free_text(value)
    return None if found in NO_VALUE_WORDS else found


def free_text(value: Any) -> str | None:
    """Return a text that users choose (a job name), also "None" or "N/A"; None for null and "".

    Raises:
        ValueError: it is not text.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise unexpected("a string", value)
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def parse_time_limit(value: str) -> int | None:
    """Return the minutes of a time limit such as `2-03:05:00`, `30:00`; None where it has none.

    A part of a minute counts as a full minute, as in Slurm itself.
    """
    found = _LIMIT.fullmatch(value)
    if found is None:
        return None
    days, hours, rest, seconds = (int(part or 0) for part in found.groups())
    return days * 1440 + hours * 60 + rest + (1 if seconds else 0)


def digits(value: str) -> int | None:
    """Return the number of a text that has only digits, else None."""
    return int(value) if len(value) <= MAX_DIGITS and value.isascii() and value.isdigit() else None

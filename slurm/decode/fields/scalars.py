"""Parsers of numbers, instants, texts and state words of all releases, in JSON and in text.

Wrapped numbers are `{"set": bool, "infinite": bool, "number": int}` from 23.02 on; complex mode
gives plain values, null or "Infinity" (Slurm `src/plugins/data_parser`, 23.02 ... 26.05).
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from slurm.errors import excerpt

NO_VALUE_WORDS = frozenset({"", "(null)", "None", "None assigned", "N/A", "Unknown"})
PLACEHOLDER_USERS = frozenset({"nobody", "nfsnobody", "nouser", "unknown", "none", "null", "n/a"})
"""What Slurm, its wrappers and name services print, in any case, for a user without a name."""
LIVE_STATES = frozenset({"RUNNING", "SUSPENDED"})
_END_BASE_STATES = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"),
        *("NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"),
    }
)
BASE_STATES = _END_BASE_STATES | LIVE_STATES | {"PENDING"}
"""Base states: what a job is (`enum job_states`, `slurm/slurm.h`, 21.08 ... 26.05)."""
_END_FLAGS = frozenset(
    {
        *("EXPEDITING", "GETENV_FAILED", "LAUNCH_FAILED", "RECONFIG_FAIL", "REQUEUED"),
        *("REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"),
    }
)
STATE_FLAGS = _END_FLAGS | {
    *("COMPLETING", "CONFIGURING", "POWER_UP_NODE", "RESIZING", "REVOKED"),
    *("SIGNALING", "STAGE_OUT", "STOPPED", "UPDATE_DB"),
}
"""State words that are flags: next to a base state (lists), or hiding it (single words)."""

END_STATES = _END_BASE_STATES | _END_FLAGS
"""The words for a run that has ended; a requeued one has, too."""
_NO_VALUE = 0xFFFFFFF0  # NO_VAL 0xfffffffe and INFINITE 0xffffffff printed as if they were times
_LARGEST = 1 << 62
MAX_DIGITS = 18
MAX_MESSAGE = 200
UNLIMITED_WORDS = frozenset({"Infinity", "INFINITE", "UNLIMITED"})
_NUMBER = re.compile(r"(-?[0-9]{1,18})(?:\.0*)?")
_LIMIT = re.compile(r"(?:(\d{1,6})-)?(?:(\d{1,9}):)?(\d{1,9}):(\d\d)")
_log = logging.getLogger(__name__)


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
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise ValueError(f"expected a number, got {value!r}"[:MAX_MESSAGE])  # noqa: TRY004 - bad data
    if not -_LARGEST < plain < _LARGEST:
        raise ValueError(f"{plain!r} is out of range"[:MAX_MESSAGE])
    return int(plain)


def _without_wrapper(value: Any) -> Any:
    """Return the value inside a wrapped number or a list of one value, each removed once."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return value
    if value.get("infinite") or not value.get("set", True):
        return None
    if "number" not in value:
        raise ValueError(f"expected a number, got {value!r}"[:MAX_MESSAGE])
    return value["number"]


def positive(value: Any) -> int | None:
    """Return an integer above 0, else None: Slurm writes 0 for *none*."""
    found = number(value)
    return found if found is not None and found > 0 else None


def instant(value: Any) -> int | None:
    """Return Unix seconds; None for 0 and for Slurm's marks of *no value* (4294967294)."""
    found = positive(value)
    return found if found is not None and found < _NO_VALUE else None


def epoch_seconds(value: str) -> int | None:
    """Return the Unix seconds of a time in text; None for words that mean *no time*.

    Raises:
        ValueError: it is a date without a zone. SLURM_TIME_FORMAT did not reach Slurm's command, so
            TZ may be lost too: the zone is unknown, and a wrong start time would mean another run.
    """
    found = digits(value)
    if found is None:
        found = _zoned_instant(value)
    if found is None and any(character.isdigit() for character in value):
        message = (
            f"{excerpt(value)!r} is not a time in epoch seconds: SLURM_TIME_FORMAT and TZ must"
            " reach Slurm's commands (a wrapper with sudo or `env -i` drops them)"
        )
        raise ValueError(message)
    return instant(found)


def utc_instant(text: str) -> int | None:
    """Return Unix seconds of epoch seconds or of ISO 8601, in UTC without a zone; None: neither."""
    try:
        if text.isdigit():
            return int(text)
        found = datetime.fromisoformat(text)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except ValueError:
        return None


def _zoned_instant(text: str) -> int | None:
    """Return Unix seconds of ISO 8601 with a zone; None: anything else."""
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
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {value!r}"[:MAX_MESSAGE])  # noqa: TRY004 - bad data
    if value in NO_VALUE_WORDS:
        return None
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def user_and_uid(name: Any, uid: int | None) -> tuple[str | None, int | None]:
    """Return login name and uid; the name is None where Slurm prints a placeholder.

    Slurm prints `nobody`, or the uid as text, while its name service cannot name the uid
    (`uid_to_string`, `src/common/uid.c`, 21.08 ... 26.05).

    Raises:
        ValueError: the name is not text.
    """
    found = (text(name) or "").strip()
    number_as_name = digits(found)
    if number_as_name is not None and number_as_name >= _NO_VALUE:
        return None, uid
    if number_as_name is not None and uid in {None, number_as_name}:
        return None, number_as_name
    return (found if is_user_name(found) else None), uid


def is_user_name(word: str) -> bool:
    """Return whether a word can be the login name of a user, and is no placeholder for one."""
    plain = word.strip("()[]<>*").casefold()
    return word[:1] not in {"#", "?", "-"} and bool(plain) and plain not in PLACEHOLDER_USERS


def split_state(value: Any) -> tuple[str | None, tuple[str, ...]]:
    """Return base state (None where a flag hides it) and flags of a job.

    A list has the base state first (23.11 on), a single flag word hides it. An unknown word counts
    as a flag, because a new flag taken for an end state would stop a running job.

    Raises:
        ValueError: these are not words.
    """
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"expected state words, got {value!r}"[:MAX_MESSAGE])
    if isinstance(value, str):
        words = words[:1]  # `CANCELLED by 1000`
    for word in words:
        if word not in BASE_STATES | STATE_FLAGS:
            _unknown_word(word)
    bases = [word for word in words if word in BASE_STATES]
    return (bases[0] if bases else None), tuple(word for word in words if word not in BASE_STATES)


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


@lru_cache(maxsize=64)
def _unknown_word(word: str) -> None:
    _log.warning("unknown job state %s: it counts neither as running nor as ended", excerpt(word))

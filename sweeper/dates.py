"""Times as people write them on a command line."""

from __future__ import annotations

import re
from datetime import datetime

_EPOCH = re.compile(r"@?([0-9]{9,11})")
_AGO = re.compile(r"([0-9]{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
DATE_FORMS = "2026-03-29, 2026-03-29T14:05[:30][Z|+01:00], @1774793100, 36h or 7d ago, now"


def parse_instant(text: str, *, now: float) -> int:
    """Return Unix seconds; a date without an offset is in this machine's time zone.

    Raises:
        ValueError: it has none of the forms.
    """
    if text == "now":
        return int(now)
    if (found := _EPOCH.fullmatch(text)) is not None:
        return int(found[1])
    if (found := _AGO.fullmatch(text)) is not None:
        return int(now) - int(found[1]) * _SECONDS[found[2]]
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{text!r} is not a time; write one like {DATE_FORMS}") from error

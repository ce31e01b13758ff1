"""The text of one job in the output of `scontrol show job`, for people; it is never parsed."""

from __future__ import annotations

import re


def job_record_text(text: str, job_id: int) -> str | None:
    """Return the part of exactly this job; None if there is none.

    The id of an array or het job gives several records; each begins with a line `JobId=`. A user
    may forge such a line inside a name: the first part with the id is the true one if one id was
    asked for, and a forger only achieves that his own text is truncated.
    """
    parts = re.split(r"\n\n(?=JobId=)", text)
    own = [part for part in parts if re.match(rf"JobId={job_id}\b", part)]
    return own[0].strip() + "\n" if own else None

"""The text of one job in the output of `scontrol show job`: for people, never to be parsed."""

from __future__ import annotations

import re


def job_record_text(text: str, job_id: int) -> str | None:
    """Return the part of exactly this job; None if there is none.

    Asking for an array or het id gives several records; they are told apart by lines that begin
    with `JobId=`. A user may forge such a line inside a name: the first part with the id is the
    true one where one id was asked for, and the worst that a forger gets is his own text cut.
    """
    parts = re.split(r"\n\n(?=JobId=)", text)
    own = [part for part in parts if re.match(rf"JobId={job_id}\b", part)]
    return own[0].strip() + "\n" if own else None

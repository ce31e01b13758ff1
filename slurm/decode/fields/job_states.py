"""The state words of jobs in all releases: which ones mean that a run is live, or has ended."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

from slurm.decode.fields.scalars import unexpected
from slurm.errors import excerpt

LIVE_STATES = frozenset({"RUNNING", "SUSPENDED"})
_END_BASE_STATES = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"),
        *("NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"),
    }
)
BASE_STATES = _END_BASE_STATES | LIVE_STATES | {"PENDING"}
"""Base states: what a job is (`enum job_states`, `slurm/slurm.h`, 21.08 ... 26.05)."""
# A requeued job may show only such a flag: its run has ended, whatever becomes of the job.
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

# `job_state_string` prints one word, and flags of a job that runs or completes come before these
# (`src/common/slurm_protocol_defs.c`, 21.08 ... 26.05). So alone they mean a pending job. Not
# RESV_DEL_HOLD: 23.02 sets it on a running job too (`src/slurmctld/reservation.c`).
_PENDING_FLAGS = frozenset({"REQUEUE_HOLD", "SPECIAL_EXIT"})

END_STATES = _END_BASE_STATES | _END_FLAGS
"""The words for a run that has ended; a requeued one has, too."""
_log = logging.getLogger(__name__)


def split_state(value: Any) -> tuple[str | None, tuple[str, ...]]:
    """Return the base state of a job (None where a flag hides it) and its flags.

    A list (23.11 on) begins with the base state. A single word may be a flag that hides it, except
    that of a pending job. An unknown word counts as a flag: a new flag taken for an end state would
    stop a running job.

    Raises:
        ValueError: the value is neither text nor a list of texts.
    """
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise unexpected("Slurm state names such as RUNNING", value)
    if isinstance(value, str):
        words = words[:1]  # `CANCELLED by 1000`
    # An unknown word is logged, not rejected: a new flag of a new release must not make all jobs
    # unreadable.
    for word in words:
        if word not in BASE_STATES | STATE_FLAGS:
            _unknown_word(word)
    bases = [word for word in words if word in BASE_STATES]
    flags = tuple(word for word in words if word not in BASE_STATES)
    hidden = "PENDING" if len(flags) == 1 and flags[0] in _PENDING_FLAGS else None
    return (bases[0] if bases else hidden), flags


@lru_cache(maxsize=64)
def _unknown_word(word: str) -> None:
    text = (
        "job state %s is unknown to this program: such jobs are treated as neither running"
        " nor ended"
    )
    _log.warning(text, excerpt(word))

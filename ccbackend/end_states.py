"""Names of end states: Slurm's word to the one each generation of cc-backend accepts.

Never `running`, `pending`, `suspended` or `stopped`: the server takes them and the row can then
never be closed properly (cc-lib v2.8.0 schema/job.go:177-190, cc-backend v1.5.0 migration).
"""

from __future__ import annotations

from collections.abc import Iterable

from ccbackend.version import Dialect

FALLBACK_STATE = "failed"

_SAME_NAME = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "OUT_OF_MEMORY")
_NAMES = {
    word: {Dialect.EXCLUSIVE: word.lower(), Dialect.SHARED: word.lower()} for word in _SAME_NAME
}
_NAMES |= {
    "NODE_FAIL": {Dialect.EXCLUSIVE: "failed", Dialect.SHARED: "node_fail"},
    "BOOT_FAIL": {Dialect.EXCLUSIVE: "failed", Dialect.SHARED: "boot_fail"},
    "DEADLINE": {Dialect.EXCLUSIVE: "timeout", Dialect.SHARED: "deadline"},
}
# Flags that say how a run ended by what becomes of its job (slurm.h, JOB_STATE_FLAGS).
_REQUEUE_FLAGS = ("REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "EXPEDITING")
_FAILED_FLAGS = ("SPECIAL_EXIT", "LAUNCH_FAILED", "RECONFIG_FAIL", "GETENV_FAILED")
_NAMES |= {word: dict.fromkeys(Dialect, "cancelled") for word in _REQUEUE_FLAGS}
_NAMES |= {word: dict.fromkeys(Dialect, "failed") for word in _FAILED_FLAGS}

_NOT_ENDED = frozenset(
    {
        *("PENDING", "RUNNING", "SUSPENDED", "REVOKED"),
        *("COMPLETING", "CONFIGURING", "POWER_UP_NODE", "RESIZING", "STAGE_OUT"),
        *("STOPPED", "SIGNALING", "UPDATE_DB"),
    }
)


def end_state(state: str | None, flags: Iterable[str], dialect: Dialect) -> str | None:
    """Name an end state for the server; None if Slurm's words name no end.

    A base state decides alone; flags are looked at only where the base state is not known. An
    unknown word is an end as `failed` (see `is_known_state`).
    """
    if state is not None:
        return _name(state, dialect)
    names = (_name(flag, dialect) for flag in flags if _base_word(flag) in _NAMES)
    return next(names, None)


def depends_on_dialect(state: str) -> bool:
    """Return whether the other generation of servers has another name for this end."""
    return len(set(_NAMES.get(_base_word(state), {}).values())) > 1


def is_known_state(state: str) -> bool:
    """Return whether some known release of Slurm uses this word."""
    return _base_word(state) in _NAMES or _base_word(state) in _NOT_ENDED


def _name(state: str, dialect: Dialect) -> str | None:
    word = _base_word(state)
    if word in _NOT_ENDED:
        return None
    return _NAMES[word][dialect] if word in _NAMES else FALLBACK_STATE


def _base_word(state: str) -> str:
    """Return the state alone: sacct writes `CANCELLED by 1000`."""
    return (state.split() or [""])[0].upper()

"""What the two generations of cc-backend spell differently: end states and node sharing.

The end states `running`, `pending`, `suspended` and `stopped` are never sent: the server accepts
them, and the row can then never be closed properly (cc-lib v2.8.0 schema/job.go:177-190, cc-backend
v1.5.0 migration).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ccbackend.facts import JobFacts, NodeFacts
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


def end_state(state: str, dialect: Dialect) -> str | None:
    """Return the server's name of a Slurm end state; None if the state is not an end.

    An unknown state is reported as `failed` (see `is_known_state`).
    """
    word = _base_word(state)
    if word in _NOT_ENDED:
        return None
    return _NAMES[word][dialect] if word in _NAMES else FALLBACK_STATE


def depends_on_dialect(state: str) -> bool:
    """Return whether the two dialects have different names for this end state."""
    return len(set(_NAMES.get(_base_word(state), {}).values())) > 1


def is_known_state(state: str) -> bool:
    """Return whether some known release of Slurm uses this word."""
    return _base_word(state) in _NAMES or _base_word(state) in _NOT_ENDED


def _base_word(state: str) -> str:
    """Return the state alone: sacct writes `CANCELLED by 1000`."""
    return (state.split() or [""])[0].upper()


# Any value the server does not know is answered with 500, on 1.4.0 and 1.4.1 even with 201 for a
# job that is never stored.
_FIELD_VALUES: dict[str, dict[Dialect, int | str]] = {
    "node": {Dialect.EXCLUSIVE: 1, Dialect.SHARED: "none"},
    "user": {Dialect.EXCLUSIVE: 2, Dialect.SHARED: "single_user"},
    "shared": {Dialect.EXCLUSIVE: 0, Dialect.SHARED: "multi_user"},
}
_CANONICAL = {"node": "node", "user": "user", "group": "shared", "shared": "shared"}


def sharing_field(job: JobFacts, dialect: Dialect) -> dict[str, int | str]:
    """Return the node sharing field of a start in a dialect; empty if the sharing is not known.

    Without it the server assumes whole nodes. A missing value is derived from the cores if they are
    known: a job with all cores of its nodes has whole nodes, with fewer it has shared ones.
    """
    sharing = job.sharing if job.sharing is not None else _sharing_by_cores(job)
    if sharing is None:
        return {}
    return {dialect.value: _FIELD_VALUES[_CANONICAL.get(sharing, "shared")][dialect]}


def translate_sharing(document: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Return a start body of the other dialect in this one: only its sharing field is changed."""
    old = dialect.other
    rest = {key: value for key, value in document.items() if key != old.value}
    word = next(word for word in _FIELD_VALUES.values() if word[old] == document[old.value])
    return rest | {dialect.value: word[dialect]}


def sharing_problem(job: JobFacts) -> str | None:
    """Return a warning if a job's node sharing is missing or unknown to this program; else None."""
    if job.sharing is not None:
        return (
            None
            if job.sharing in _CANONICAL
            else f"node sharing {job.sharing!r} is unknown to this program: reported as multi_user"
        )
    return (
        None
        if _sharing_by_cores(job)
        else "it is unknown whether the job shares its nodes: the job is reported without this"
        " information"
    )


def _sharing_by_cores(job: JobFacts) -> str | None:
    if not job.nodes or len(job.allocations) < len(job.nodes):
        return None
    whole = _whole_nodes(job.allocations)
    if whole is None:
        return None
    return "node" if all(whole) else "shared"


def _whole_nodes(allocations: Sequence[NodeFacts]) -> list[bool] | None:
    """Return for each node whether the job has all its cores; None if that is unknown for one."""
    whole: list[bool] = []
    for node in allocations:
        if node.cores is None or node.core_count is None:
            return None
        whole.append(len(node.cores) >= node.core_count)
    return whole

"""Node sharing in every spelling of nine releases.

`OverSubscribe=NO` changed its meaning: whole nodes up to 25.11, from 26.05 on also ordinary jobs on
shared nodes. Where an Exclusive value is there (`SLURM_JOB_EXCLUSIVE`, `Exclusive=`, 26.05), it
alone decides (`get_job_oversubscribe_value`, `src/common/slurm_protocol_defs.c`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from slurm.decode.fields.scalars import MAX_MESSAGE
from slurm.errors import excerpt
from slurm.job import Sharing

_log = logging.getLogger(__name__)
_EXCLUSIVE = {
    "NODE": Sharing.NODE,
    "USER": Sharing.USER,
    "MCS": Sharing.GROUP,
    "TOPO": Sharing.GROUP,
    "NO": Sharing.SHARED,
}
_OVERSUBSCRIBE = {**_EXCLUSIVE, "NO": Sharing.NODE, "YES": Sharing.SHARED, "OK": Sharing.SHARED}
SHARING_WORDS = frozenset(_OVERSUBSCRIBE)
"""Every value of the columns Exclusive and OverSubscribe that is known."""
_JSON = {
    "none": Sharing.NODE,
    "user": Sharing.USER,
    "mcs": Sharing.GROUP,
    "topo": Sharing.GROUP,
    "shared": Sharing.SHARED,
    "oversubscribe": Sharing.SHARED,
}


def sharing_from_text(*, exclusive: str | None, oversubscribe: str | None) -> Sharing | None:
    """Return the sharing that text or the hook's variables tell; None: nothing of the kind."""
    if exclusive:
        return _EXCLUSIVE.get(exclusive) or _unknown(exclusive)
    if oversubscribe:
        return _OVERSUBSCRIBE.get(oversubscribe) or _unknown(oversubscribe)
    return None


def sharing_from_json(value: Any) -> Sharing:
    """Return the sharing that `shared` tells; null and [] mean that nodes may be shared.

    Raises:
        ValueError: these are no words.
    """
    words = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"sharing words are expected, not {value!r}"[:MAX_MESSAGE])
    if not words:
        return Sharing.SHARED
    known = [_JSON[word] for word in words if word in _JSON]
    return known[0] if known else _unknown(words[0])


def sharing_from_cpus(cpus: int | None, node_cpus: Iterable[int | None]) -> Sharing | None:
    """Return the sharing that the number of CPUs tells, where nothing else is known any more.

    Accounting has no sharing up to 25.11. It counts whole cores with all their threads, so whoever
    held fewer CPUs than his nodes have left the rest to others.

    Args:
        cpus: allocated to the job on all its nodes.
        node_cpus: CPUs that jobs can have on each of them; None: not known.
    """
    of_nodes = list(node_cpus)
    if not cpus or not of_nodes:
        return None
    known = [count for count in of_nodes if count is not None]
    if len(known) < len(of_nodes):
        return None
    return Sharing.NODE if cpus >= sum(known) else Sharing.SHARED


@lru_cache(maxsize=64)
def _unknown(word: str) -> Sharing:
    """Take a new word for shared nodes, and say so once."""
    _log.warning("node sharing %s is not known: taken as shared nodes", excerpt(word))
    return Sharing.SHARED

"""Parsers of node sharing in the spellings of all releases.

`OverSubscribe=NO` changed its meaning: exclusive nodes up to 25.11, from 26.05 on also ordinary
jobs on shared nodes. If there is an Exclusive value (`SLURM_JOB_EXCLUSIVE`, `Exclusive=`, 26.05),
only it decides (`get_job_oversubscribe_value`, `src/common/slurm_protocol_defs.c`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from slurm.decode.fields.scalars import unexpected
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
"""All known values of the columns Exclusive and OverSubscribe."""
_JSON = {
    "none": Sharing.NODE,
    "user": Sharing.USER,
    "mcs": Sharing.GROUP,
    "topo": Sharing.GROUP,
    "shared": Sharing.SHARED,
    "oversubscribe": Sharing.SHARED,
}


def sharing_from_text(*, exclusive: str | None, oversubscribe: str | None) -> Sharing | None:
    """Return node sharing from text or a hook's variables; None if neither value is there."""
    # Before OverSubscribe, which is printed as well from 26.05 on and has a new meaning there.
    if exclusive:
        return _EXCLUSIVE.get(exclusive) or _unknown(exclusive)
    if oversubscribe:
        return _OVERSUBSCRIBE.get(oversubscribe) or _unknown(oversubscribe)
    return None


def sharing_from_json(value: Any) -> Sharing:
    """Return node sharing from the JSON key `shared`; null and [] mean that nodes may be shared.

    Raises:
        ValueError: the value is neither text nor a list of texts.
    """
    words = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise unexpected("node sharing such as user", value)
    if not words:
        return Sharing.SHARED
    known = [_JSON[word] for word in words if word in _JSON]
    return known[0] if known else _unknown(words[0])


def sharing_from_cpus(cpus: int | None, node_cpus: Iterable[int | None]) -> Sharing | None:
    """Return node sharing concluded from the number of CPUs, where no other source is left.

    Accounting has no sharing up to 25.11. It counts full cores with all their threads, so a job
    with fewer CPUs than its nodes have left the rest to others.

    `cpus` are allocated to the job on all its nodes, `node_cpus` those that jobs can have on each
    node (None: not known).
    """
    of_nodes = list(node_cpus)
    if not cpus or not of_nodes:
        return None
    known = [count for count in of_nodes if count is not None]
    if len(known) < len(of_nodes):
        return None
    # A job that got all CPUs by chance counts as exclusive: for the display of its metrics that is
    # true as well.
    return Sharing.NODE if cpus >= sum(known) else Sharing.SHARED


@lru_cache(maxsize=64)
def _unknown(word: str) -> Sharing:
    """Log an unknown value of node sharing once; return that the nodes are shared."""
    text = "node sharing %s is unknown to this program: the nodes are treated as shared"
    _log.warning(text, excerpt(word))
    return Sharing.SHARED

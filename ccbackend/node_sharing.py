"""Node sharing in each generation's words; the mapping is total.

Any value the server does not know is answered with 500, on 1.4.0 and 1.4.1 even with 201 for a job
that is never stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ccbackend.facts import JobFacts, NodeFacts
from ccbackend.version import Dialect

_FIELD_VALUES: dict[str, dict[Dialect, int | str]] = {
    "node": {Dialect.EXCLUSIVE: 1, Dialect.SHARED: "none"},
    "user": {Dialect.EXCLUSIVE: 2, Dialect.SHARED: "single_user"},
    "shared": {Dialect.EXCLUSIVE: 0, Dialect.SHARED: "multi_user"},
}
_CANONICAL = {"node": "node", "user": "user", "group": "shared", "shared": "shared"}


def sharing_field(job: JobFacts, dialect: Dialect) -> dict[str, int | str]:
    """Return the one field that differs between the generations; empty if it is not known.

    Without it the server assumes whole nodes. A lost value follows from the cores where they are
    known: all cores of all nodes are whole nodes, fewer are shared ones.
    """
    sharing = job.sharing if job.sharing is not None else _sharing_by_cores(job)
    if sharing is None:
        return {}
    return {dialect.value: _FIELD_VALUES[_CANONICAL.get(sharing, "shared")][dialect]}


def translate_sharing(document: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Return the same start body in another dialect: only its sharing field is changed."""
    old = dialect.other
    rest = {key: value for key, value in document.items() if key != old.value}
    if old.value not in document:
        return rest
    word = next(word for word in _FIELD_VALUES.values() if word[old] == document[old.value])
    return rest | {dialect.value: word[dialect]}


def sharing_problem(job: JobFacts) -> str | None:
    """Return a warning about a value that is new or lost for good; None if there is none."""
    if job.sharing is not None:
        return None if job.sharing in _CANONICAL else f"sharing {job.sharing!r} is new: multi_user"
    return None if _sharing_by_cores(job) else "sharing of nodes is not known: left out"


def _sharing_by_cores(job: JobFacts) -> str | None:
    if not job.nodes or len(job.allocations) < len(job.nodes):
        return None
    whole = _whole_nodes(job.allocations)
    if whole is None:
        return None
    return "node" if all(whole) else "shared"


def _whole_nodes(allocations: Sequence[NodeFacts]) -> list[bool] | None:
    """Return whether each node is held whole; None as soon as one is not known."""
    whole: list[bool] = []
    for node in allocations:
        if node.cores is None or node.core_count is None:
            return None
        whole.append(len(node.cores) >= node.core_count)
    return whole

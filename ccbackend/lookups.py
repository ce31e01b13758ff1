"""Look up the runs of many jobs at cc-backend, in any state: all of them or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ccbackend.outcomes import Outcome
from ccbackend.replies import BackendRow, JobList

IDS_PER_QUERY = 500  # a database takes so many values in one condition, and more


class RunLookup(Protocol):
    """The look-ups that `lookup_runs` needs; `ccbackend.client.BackendClient` implements them."""

    def list_runs(self, job_ids: Iterable[int], cluster: str) -> JobList:
        """List the runs of some job ids by GraphQL."""

    def lookup(self, job_id: int, cluster: str, start_time: int | None = None) -> JobList:
        """List the runs of one job id; by REST where GraphQL fails and a start time is given."""


def lookup_runs(backend: RunLookup, keys: Iterable[tuple[int, int]], cluster: str) -> JobList:
    """List the runs of many jobs at cc-backend; no rows if one of the queries fails.

    `keys` are job ids and start times, at least one; the times are used where GraphQL fails.
    `cluster` is its name at the server.
    """
    wanted = sorted(set(keys))
    rows: list[BackendRow] = []
    found = _lookup_batch(backend, wanted[:IDS_PER_QUERY], cluster)
    for first in range(IDS_PER_QUERY, len(wanted), IDS_PER_QUERY):
        if found.rows is None:
            return found
        rows += found.rows
        found = _lookup_batch(backend, wanted[first : first + IDS_PER_QUERY], cluster)
    return found if found.rows is None else JobList(found.reply, (*rows, *found.rows))


def _lookup_batch(backend: RunLookup, keys: Sequence[tuple[int, int]], cluster: str) -> JobList:
    found = backend.list_runs(sorted({job_id for job_id, _ in keys}), cluster)
    # If the list fails although the server works, one archived job may be unreadable: single
    # look-ups get the others. If the server is down, they would fail as well.
    if found.rows is not None or found.reply.outcome in {Outcome.HALT, Outcome.RETRY}:
        return found
    rows: list[BackendRow] = []
    for job_id, start_time in keys:
        found = backend.lookup(job_id, cluster, start_time)
        if found.rows is None:
            return found
        rows += found.rows
    return JobList(found.reply, tuple(rows))

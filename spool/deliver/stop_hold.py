"""Compute when the next request of a run may be sent; a stop may have to be held back.

cc-backend >= 1.5 keeps a new job in a cache at first. A stop that meets the commit of this cache
can close another job (v1.5.4, internal/repository/jobCreate.go), so the stop of a run is held until
its row has left the cache: until a job list shows it (see `stop_release`), or the hold is over.
"""

from __future__ import annotations

from spool.deliver.pending_run import PendingRun, RequestKind


def ready_at(entry: PendingRun, hold_seconds: float) -> float:
    """Return when the next request of a run may be sent, by the monotonic clock.

    Args:
        entry: the run.
        hold_seconds: how long after its start was accepted a row may be in the job cache; 0: the
            server has no such cache.
    """
    kind = entry.next_request
    if kind is RequestKind.START:
        # Only requests about a row that may still be in the job cache are held; a start makes a
        # new row.
        return max(entry.retry_at, entry.texts_until)
    at = entry.retry_at
    if kind is RequestKind.STOP:
        at = max(at, entry.stop_texts_until, entry.final_text_until)
    # The hold protects rows that may still be in the job cache. A delete concerns the row of an
    # earlier run, and a listed run has left the cache. `edit_meta` is held as a stop is: for a row
    # in the cache cc-backend answers 422 (>= 1.5.0).
    if kind is RequestKind.DELETE or entry.is_listed:
        return at
    return max(at, entry.accepted_at + hold_seconds)

"""The drain's queries to slurmctld and accounting: when they are sent, and their answers."""

from __future__ import annotations

import logging
from functools import partial

from spool.deliver.run_store import RunStore
from spool.drain.apply_resolutions import ResolutionApplier
from spool.drain.same_job import SameJobProof
from spool.moment import Moment
from spool.resolve.resolver import Resolver
from spool.resolve.slurm_worker import (
    ControllerQuery,
    ControllerReply,
    ListQuery,
    ListReply,
    RecordsReply,
    RowsQuery,
    RowsReply,
)
from spool.worker import Worker

# slurmctld may never run an epilog (it was killed, or the hook is off), and then no event ends the
# run: without this comparison it would stay in `open/` for ever.
COMPARE_SECONDS = 3600.0
COMPARE_AGAIN_SECONDS = 60.0
_log = logging.getLogger(__name__)

ControllerWorker = Worker[ControllerQuery, ControllerReply]
AccountingWorker = Worker[RowsQuery, RowsReply]


class SlurmQuestions:
    """The queries to slurmctld and accounting; used only in the loop's thread."""

    def __init__(
        self,
        store: RunStore,
        resolver: Resolver,
        applier: ResolutionApplier,
        *,
        proof: SameJobProof,
        controller: ControllerWorker,
        accounting: AccountingWorker,
    ) -> None:
        self._store = store
        self._resolver = resolver
        self._applier = applier
        self._proof = proof
        self.controller = controller
        self.accounting = accounting
        self._compare_at = float("-inf")

    def ask(self, now: Moment) -> None:
        """Send the next queries to slurmctld and to accounting, if their workers are idle."""
        # At most one query in flight for each source: slurmctld answers all clients with the same
        # threads, and jobs that arrive meanwhile join the next query.
        tracked = partial(self._store.tracked, now=now)
        if not self.controller.outstanding:
            query = self._next_list(now) or self._resolver.next_records(now, tracked)
            if query is not None:
                self.controller.ask(query)
        if not self.accounting.outstanding:
            rows = self._proof.next_query(now) or self._resolver.next_rows(now, tracked)
            if rows is not None:
                self.accounting.ask(rows)

    def next_time(self) -> float | None:
        """Return when the next query about a job may be due, by the monotonic clock."""
        return self._resolver.next_time(
            controller_is_busy=bool(self.controller.outstanding),
            accounting_is_busy=bool(self.accounting.outstanding),
        )

    def take_controller(
        self, query: ControllerQuery, reply: ControllerReply | None, now: Moment
    ) -> None:
        """Apply slurmctld's answer; None: the worker was closed before the query."""
        if isinstance(query, ListQuery):
            self._compare(reply if isinstance(reply, ListReply) else None, now)
            return
        found = reply if isinstance(reply, RecordsReply) else None
        tracked = partial(self._store.tracked, now=now)
        resolved = self._resolver.take_records(query, found, now, tracked)
        self._applier.apply(resolved, now)

    def take_accounting(self, query: RowsQuery, reply: RowsReply | None, now: Moment) -> None:
        """Apply accounting's answer; None: the worker was closed before the query."""
        if not self._proof.take(reply):
            tracked = partial(self._store.tracked, now=now)
            resolved = self._resolver.take_rows(query, reply, now, tracked)
            self._applier.apply(resolved, now)

    def _next_list(self, now: Moment) -> ListQuery | None:
        """Return the hourly query for running jobs; None if no run is open or it is not due."""
        if now.steady < self._compare_at:
            return None
        # Also if no run is open, so that not every pass looks for one.
        self._compare_at = now.steady + COMPARE_SECONDS
        has_open = any(True for _ in self._store.unfinished())
        return ListQuery() if has_open else None

    def _compare(self, reply: ListReply | None, now: Moment) -> None:
        """Queue a query about each run in `open/` that Slurm does not list as running."""
        if reply is None or reply.error is not None:
            self._compare_at = now.steady + COMPARE_AGAIN_SECONDS
            reason = "Slurm was not asked" if reply is None else reply.error
            _log.warning("open runs cannot be compared with Slurm's job list: %s", reason)
            return
        # An open run that the list lacks has not ended for that reason. It is only looked up.
        doubtful = {
            job_id for job_id, start in self._store.unfinished() if reply.live.get(job_id) != start
        }
        for job_id in doubtful:
            self._resolver.recheck_job(job_id, now)
        if doubtful:
            _log.info("open runs not in Slurm's job list, to be looked up: %d", len(doubtful))

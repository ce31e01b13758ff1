"""Find out which cc-backend rows are other runs of the same job.

A run without restarts has no earlier runs: such rows are of another job with the same, reused id
and must not be deleted. Otherwise the spool (a later run only within a day, because ids are reused)
or accounting must have the run, with the same user.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from spool.deliver.run_store import RunStore
from spool.deliver.settlement import DAY_SECONDS
from spool.files.run import Run
from spool.moment import Clocks, Moment
from spool.resolve.slurm_runs import match_start, runs_of_accounting
from spool.resolve.slurm_worker import RowsQuery, RowsReply


@dataclass(frozen=True, slots=True)
class _OpenQuestion:
    """A run, the start times that only accounting can prove, and the receiver of the answer."""

    run: Run
    known: frozenset[int]
    missing: frozenset[int]
    settle: Callable[[set[int] | None], None]


class SameJobProof:
    """The check that runs are of the same job; used only in the loop's thread."""

    def __init__(self, store: RunStore, clocks: Clocks) -> None:
        self._store = store
        self._clocks = clocks
        self._waiting: deque[_OpenQuestion] = deque()
        self._asked: _OpenQuestion | None = None

    def __call__(
        self, run: Run, others: Iterable[int], settle: Callable[[set[int] | None], None]
    ) -> None:
        """Pass to `settle` which starts are of the same job, now or after accounting's answer."""
        # An earlier row cannot be of this job if the job was never requeued: its id was reused
        # after MaxJobId.
        # None (not known) is no 0: then accounting has to say.
        is_first = run.job.restart_count == 0
        wanted = {other for other in others if other > run.start_time or not is_first}
        tracked = self._store.tracked(run.job_id, self._clocks.now())
        remembered = {each.start_time for each in tracked}
        # Our own memory is enough, and it is there at once; accounting may be a minute late.
        known = {other for other in wanted & remembered if other - run.start_time < DAY_SECONDS}
        missing = wanted - known
        if missing:
            question = _OpenQuestion(run, frozenset(known), frozenset(missing), settle)
            self._waiting.append(question)
        else:
            settle(known)

    def next_query(self, now: Moment) -> RowsQuery | None:
        """Return the next query to accounting; None if no run waits for an answer."""
        if not self._waiting:
            return None
        self._asked = self._waiting.popleft()
        # A minute earlier: accounting's start may differ by seconds from the row's (`match_start`).
        ids, since = (self._asked.run.job_id,), min(self._asked.missing) - 60
        return RowsQuery(job_ids=ids, since=since, until=int(now.wall) + 1)

    def take(self, reply: RowsReply | None) -> bool:
        """Settle the current query (with None if it failed); return False if there is none."""
        question, self._asked = self._asked, None
        if question is None:
            return False
        if reply is None or reply.error is not None:
            question.settle(None)
            return True
        # The user as well: after MaxJobId another user's job may have the id.
        of_job = (question.run.job_id, question.run.job.user)
        own = [row for row in reply.rows if (row.job_id, row.user) == of_job]
        starts = {question.run.start_time, *question.known, *question.missing}
        runs = runs_of_accounting(own, question.run.job_id, starts=starts)
        shown = [row.start_time for row in (*runs, *own) if row.start_time]
        proven = {start for start in question.missing if match_start(start, shown) is not None}
        question.settle(set(question.known) | proven)
        return True

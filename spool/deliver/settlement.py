"""Settle a start that cc-backend refuses because of other runs of its job id.

Accounting may have to say whether they are runs of the same job: the run stays in flight until the
answer comes, and no other job waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from ccbackend.replies import ApiReply
from slurm.light_dataclass import light_dataclass
from spool.backoff import backoff
from spool.deliver.pending_run import PendingRun, RequestKind
from spool.deliver.reaction import (
    FLUSH_SECONDS,
    HOUR_SECONDS,
    MAX_ATTEMPTS,
    Reaction,
    RequestContext,
    RunAction,
    count_attempt,
)
from spool.deliver.rejected_runs import move_rejected_to_dead
from spool.deliver.request_builder import RequestBuilder
from spool.deliver.run_store import RunStore
from spool.files.run import Run
from spool.moment import Moment

DAY_SECONDS = 24 * HOUR_SECONDS
PROOF_SECONDS = 300  # accounting does not answer: the run is settled later
OUT_OF_ORDER = (
    "cc-backend accepts the runs of a job id only in order, and it has a later one: to keep that"
    " one, type `cc-spool discard ID`; else delete it at cc-backend, then `cc-spool retry ID`"
)
UNPROVEN = (
    "cc-backend has a run with this job id that began less than a day before this one, perhaps of"
    " another job: to keep that run and not report this one, type `cc-spool discard ID`; to report"
    " this one, delete that run at cc-backend, then type `cc-spool retry ID`"
)
REAPPEARED_HINT = (
    "cc-backend has a row of an earlier run of this job again, although it was deleted: check"
    " whether another program reports the jobs of this cluster too, then `cc-spool retry ID`"
)
ProveSameJob = Callable[[Run, Iterable[int], Callable[[set[int] | None], None]], None]


@light_dataclass
class DeliveryPolicy:
    """The site's settings for deliveries.

    `prove` finds out which start times are other runs of the same job, and passes them to a
    function, at once or later; None: accounting does not answer.
    """

    hold_seconds: float
    replace_earlier: bool
    prove: ProveSameJob


class Settlement:
    """The settlement of starts that conflict with other runs; used only in the loop's thread."""

    def __init__(self, store: RunStore, builder: RequestBuilder, policy: DeliveryPolicy) -> None:
        self._store = store
        self._builder = builder
        self._policy = policy

    def begin(self, entry: PendingRun, run: Run, reply: ApiReply, now: Moment) -> None:
        """Find out which rows are of the same job, then settle; the run is in flight until then."""
        others = [row.start_time for row in reply.rows or () if row.start_time != run.start_time]
        # It stays in flight while accounting is asked, so that the schedule sends no later run of
        # this job id in between.
        entry.in_flight = RequestKind.START
        policy = self._policy

        def settle(proven: set[int] | None) -> None:
            entry.in_flight = entry.read = None  # the wait was long: its file may have been removed
            fresh = self._builder.load_run(entry, now)  # its end may have arrived meanwhile
            if fresh is None:
                return
            reaction = settle_conflict(
                # The refusal is nowhere stored yet: SETTLE changes nothing in the spool.
                replace(fresh, last_error=run.last_error),
                others,
                proven,
                replace_earlier=policy.replace_earlier,
                now=now.wall,
            )
            if reaction.action is RunAction.DEAD_LETTER:
                document = reply.document or {}
                move_rejected_to_dead(self._store, entry, reaction.run, document, now)
            elif reaction.run.end is not None and not reaction.run.reported:
                # It has ended and is not to be reported, so nothing can follow for it.
                self._store.complete(entry, reaction.run, now)
            else:
                self._store.persist(entry, reaction.run, now)

        policy.prove(run, others, settle)


def settle_conflict(
    run: Run,
    others: Iterable[int],
    proven: Iterable[int] | None,
    *,
    replace_earlier: bool,
    now: float,
) -> Reaction:
    """Return the reaction for a run that conflicts with other runs of its job id at cc-backend.

    Args:
        run: the run whose start was refused, with its `last_error`.
        others: start times of the runs of this job id that cc-backend lists.
        proven: start times of other runs of the same job, proven by the spool or accounting; None:
            accounting does not answer.
        replace_earlier: policy: replace the earlier run's row, or keep it.
        now: Unix seconds.
    """
    # The run is not the cause, so no attempt is counted.
    if proven is None:
        return Reaction(run=replace(run, not_before=int(now) + PROOF_SECONDS))
    # Only runs of the same job may be replaced. A row under a reused job id belongs to another
    # user's job and must never be deleted.
    known = set(proven)
    later = {other for other in others if other > run.start_time}
    if later:
        return _out_of_order(run, are_same_job=later <= known, now=now)
    # cc-backend rejects a second run only within a day (its duplicate rule), so older rows are no
    # obstacle.
    near = sorted(other for other in others if run.start_time - other < DAY_SECONDS)
    unproven = set(near) - known
    if not near or unproven:
        # Accounting is asked again each hour, because its rows may be late. That a day goes by does
        # not help: cc-backend compares the two start times, not its clock. It accepts this start
        # only when the row no longer exists: deleted after a proof, or by an administrator.
        return _wait_for_administrator(run, UNPROVEN if unproven else "", now)
    # The stops of earlier runs are delivered first (`Schedule`), then their rows are deleted. Their
    # copies in the server's job archive stay: `delete_job` changes only the table.
    if replace_earlier:
        return _replace_rows(run, tuple(near), now)
    reason = "second run of this job id within 24 h (drain.requeue is keep)"
    return Reaction(run=replace(run, reported=False, reason=reason, last_error=None))


def _replace_rows(run: Run, rows: tuple[int, ...], now: float) -> Reaction:
    """Return the reaction for a run that replaces rows: delete them, at once the first time.

    Rows that are there again were written by another program, or are not really deleted: the waits
    grow to an hour, and after most of a day an administrator has to look.
    """
    noted = replace(run, replacements=run.replacements + 1)
    if not run.replacements:
        return Reaction(run=replace(noted, replaces=rows, last_error=None, not_before=0))
    error = run.last_error and replace(run.last_error, hint=REAPPEARED_HINT)
    noted = replace(noted, last_error=error)
    if noted.replacements >= MAX_ATTEMPTS:
        return Reaction(run=noted, action=RunAction.DEAD_LETTER)
    wait = int(backoff(run.replacements - 1, first=FLUSH_SECONDS, longest=HOUR_SECONDS))
    return Reaction(run=replace(noted, replaces=rows, not_before=int(now) + wait))


def _out_of_order(run: Run, *, are_same_job: bool, now: float) -> Reaction:
    """Return the reaction for a run that is older than one at cc-backend.

    cc-backend accepts the runs of a job id only in order (api: "duplicate rule"). If both are of
    the same job, the later run represents both, as if it had replaced this one. Else an
    administrator has to decide.
    """
    if are_same_job:
        reason = "cc-backend already has a later run of this job"
        return Reaction(run=replace(run, reported=False, reason=reason, last_error=None))
    return _wait_for_administrator(run, OUT_OF_ORDER, now)


def _wait_for_administrator(run: Run, hint: str, now: float) -> Reaction:
    """Return the reaction for a run that a row at cc-backend blocks: retry hourly, for a day."""
    error = run.last_error and replace(run.last_error, hint=hint or run.last_error.hint)
    context = RequestContext(kind=RequestKind.START, now=now, cluster=run.cluster or "")
    noted = replace(run, last_error=error)
    return count_attempt(noted, context, wait_seconds=HOUR_SECONDS, limit=MAX_ATTEMPTS)

"""What an answer of cc-backend does to a run. Pure: (run, call, verdict) to a new run and action.

Nothing here touches disk or network, so every recorded answer can be tried on every kind of run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto

from ccbackend.classify import Outcome, Reason, ReplyVerdict
from spool.deliver.schedule import RequestKind
from spool.escaping import escape
from spool.files.run import LastError, Run

HOUR_SECONDS = 3600
DAY_SECONDS = 24 * HOUR_SECONDS
CACHE_FLUSH_SECONDS = 180  # cc-backend >= 1.5 writes its job cache every 2 minutes or so
START_QUEUE_SECONDS = 5  # cc-backend 1.4.0 and 1.4.1 store a start some seconds after the 201
UNKNOWN_CLUSTER_SECONDS = 300
MAX_PANICS = 3
MAX_ATTEMPTS = 24
MAX_RESTARTS = 3
MAX_QUEUED_STARTS = 4  # starts that cc-backend 1.4.0 or 1.4.1 queued and never stored
MAX_STOP_REPEATS = 2  # a stop repeated while its start may still be queued
MAX_MESSAGE_CHARACTERS = 2000
OUT_OF_ORDER = (
    "cc-backend stores runs of one job id in order alone, and a later one is there: delete that"
    " one at cc-backend and `cc-spool retry` this run, or `cc-spool discard` it"
)


class RunAction(Enum):
    """What becomes of the run's file."""

    KEEP = auto()  # stored where its state belongs
    ARCHIVE = auto()  # told in full: into the archive
    DEAD_LETTER = auto()  # refused for good


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """The run after the answer and what becomes of it."""

    run: Run
    action: RunAction = RunAction.KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """A request and the moment of its answer, Unix seconds.

    `status` is the HTTP status, None without an answer. `others_accepted` says that cc-backend
    accepted other requests since this run last failed.
    """

    call: RequestKind
    now: float
    cluster: str
    status: int | None = None
    others_accepted: bool = False


def react(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return what an answer does to a run."""
    return _REACTIONS[verdict.outcome](run, verdict, context)


def _accepted(run: Run, _verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the run after cc-backend did what was asked."""
    clean = replace(run, last_error=None, not_before=0, attempts=0)
    if context.call is RequestKind.STOP:
        return Reaction(run=clean, action=RunAction.ARCHIVE)
    if context.call is RequestKind.DELETE:
        return Reaction(run=replace(clean, replaces=clean.replaces[1:]))
    return Reaction(
        run=replace(
            clean,
            started=int(context.now),
            cluster=run.cluster or context.cluster,
            attempts=run.attempts,  # counts the restarts of a run that is not kept
        )
    )


def _start_queued(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the run with its start to be looked up: cc-backend only queued it, and may drop it."""
    failed = _with_error(run, verdict, context)
    return _count_attempt(
        failed, context, wait_seconds=START_QUEUE_SECONDS, limit=MAX_QUEUED_STARTS
    )


def _needs_start(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the run with its start to be told again; a server that forgets it always is odd."""
    failed = replace(_with_error(run, verdict, context), started=None, attempts=run.attempts + 1)
    if failed.attempts > MAX_RESTARTS:
        return Reaction(run=failed, action=RunAction.DEAD_LETTER)
    return Reaction(run=failed)


def _later(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the run parked; only answers about this very run are counted."""
    failed = _with_error(run, verdict, context)
    if verdict.reason in {Reason.PANIC, Reason.UNEXPECTED, Reason.QUERY_FAILED}:
        return _count_attempt(failed, context, wait_seconds=HOUR_SECONDS, limit=MAX_PANICS)
    if verdict.reason is Reason.UNKNOWN_RUN_YET:
        if run.attempts >= MAX_STOP_REPEATS:
            return _needs_start(run, verdict, context)
        return _count_attempt(failed, context, wait_seconds=START_QUEUE_SECONDS, limit=MAX_ATTEMPTS)
    wait = _WAITS.get(verdict.reason, HOUR_SECONDS)
    return Reaction(run=replace(failed, not_before=int(context.now) + wait))


def _retry(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the run as it is while all fail; alone and rarely when only this one does."""
    failed = _with_error(run, verdict, context)
    if not context.others_accepted:
        return Reaction(run=failed)
    wait = min(60 * 2 ** min(run.attempts, 10), HOUR_SECONDS)
    return _count_attempt(failed, context, wait_seconds=wait, limit=MAX_ATTEMPTS)


def _count_attempt(run: Run, context: RequestContext, *, wait_seconds: int, limit: int) -> Reaction:
    counted = replace(run, attempts=run.attempts + 1, not_before=int(context.now) + wait_seconds)
    return Reaction(
        run=counted, action=RunAction.DEAD_LETTER if counted.attempts >= limit else RunAction.KEEP
    )


def _with_error(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Run:
    error = LastError(
        time=int(context.now),
        call=context.call,
        outcome=verdict.outcome,
        reason=verdict.reason.name.lower(),
        message=escape(verdict.message, MAX_MESSAGE_CHARACTERS),
        hint=verdict.hint,
        status=context.status,
    )
    return replace(run, last_error=error)


def _unchanged(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    return Reaction(run=_with_error(run, verdict, context))


def _rejected(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    return Reaction(run=_with_error(run, verdict, context), action=RunAction.DEAD_LETTER)


_WAITS = {
    Reason.AFTER_FLUSH: CACHE_FLUSH_SECONDS,
    Reason.UNKNOWN_CLUSTER_ALONE: UNKNOWN_CLUSTER_SECONDS,
}
_REACTIONS = {
    Outcome.DELIVERED: _accepted,
    Outcome.ALREADY_THERE: _accepted,
    Outcome.CONFIRM: _start_queued,
    Outcome.AMEND: _rejected,  # ccbackend amends by itself; what is left of it helps nobody
    Outcome.NEEDS_START: _needs_start,
    Outcome.CONFLICT: _unchanged,  # see `settle_conflict`
    Outcome.LATER: _later,
    Outcome.RETRY: _retry,
    Outcome.REJECTED: _rejected,
    Outcome.HALT: _unchanged,
}


def settle_conflict(
    run: Run, others: Iterable[int], proven: Iterable[int], *, replace_earlier: bool, now: float
) -> Reaction:
    """Return what becomes of a run that cc-backend refuses because of other runs of its job id.

    Args:
        run: the run whose start was refused, `last_error` noted.
        others: start times of the runs of this job id that cc-backend lists.
        proven: start times that our spool or accounting prove to be runs of the same job.
        replace_earlier: policy: replace the earlier run's row, or keep it.
        now: Unix seconds.
    """
    known = set(proven)
    later = {other for other in others if other > run.start_time}
    if later:
        return _out_of_order(run, are_same_job=later <= known, now=now)
    near = sorted(other for other in others if run.start_time - other < DAY_SECONDS)
    unproven = set(near) - known
    if not near or unproven:
        wait = min([HOUR_SECONDS] + [start + DAY_SECONDS + 60 - int(now) for start in near])
        return Reaction(run=replace(run, not_before=int(now) + max(60, wait)))
    if replace_earlier:
        return Reaction(run=replace(run, replaces=tuple(near), last_error=None, not_before=0))
    reason = "requeue policy keep: the first run within 24 h stays"
    return Reaction(run=replace(run, reported=False, reason=reason, last_error=None))


def _out_of_order(run: Run, *, are_same_job: bool, now: float) -> Reaction:
    """Return what becomes of a run older than one that is stored.

    cc-backend takes runs of one job id in order alone (api: "duplicate rule"). Of the same job the
    later run stands for both, as if it had replaced this one. Else a person has to choose.
    """
    if are_same_job:
        reason = "a later run of this job is stored already"
        return Reaction(run=replace(run, reported=False, reason=reason, last_error=None))
    error = run.last_error and replace(run.last_error, hint=OUT_OF_ORDER)
    context = RequestContext(call=RequestKind.START, now=now, cluster=run.cluster or "")
    return _count_attempt(
        replace(run, last_error=error), context, wait_seconds=HOUR_SECONDS, limit=MAX_ATTEMPTS
    )

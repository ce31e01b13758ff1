"""What an answer of cc-backend does to a run. Pure: (run, call, verdict) to a new run and action.

Nothing here touches disk or network, so every recorded answer can be tried on every kind of run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto

from ccbackend.classify import Outcome, Reason, ReplyVerdict
from spool.deliver.backend_health import sign_of
from spool.deliver.health import Sign
from spool.deliver.pending_run import RequestKind
from spool.escaping import escape
from spool.files.run import LastError, Run

HOUR_SECONDS = 3600
DAY_SECONDS = 24 * HOUR_SECONDS
FLUSH_SECONDS = 180  # cc-backend >= 1.5 writes its job cache every 2 minutes or so
QUEUE_SECONDS = 5  # cc-backend 1.4.0 and 1.4.1 store a start some seconds after the 201
FIRST_RETRY_SECONDS = 5
MAX_UNBLAMED_WAIT_SECONDS = 30.0
SLIM_FAILURES = 6  # without a witness each sixth try of a start is one without its texts
MAX_ATTEMPTS = 24  # of a run that alone fails: the last waits are an hour each
MAX_RESTARTS = 3
MAX_QUEUED_STARTS = 4  # starts that cc-backend 1.4.0 or 1.4.1 queued and never stored
MAX_STOP_REPEATS = 2  # a stop repeated while its start may still be queued
ANSWER_CHARACTERS = 2000
ALONE_HINT = (
    "cc-backend accepted other runs meanwhile: something refuses this one alone; look at the logs"
    " of cc-backend and of what stands in front of it, then `cc-spool retry` or `discard` it"
)
OUT_OF_ORDER = (
    "cc-backend stores runs of one job id in order alone, and a later one is there: delete that"
    " one at cc-backend and `cc-spool retry` this run, or `cc-spool discard` it"
)


class RunAction(Enum):
    """What becomes of a run after an answer."""

    WAIT = auto()  # nothing is stored: the answer says nothing about this run
    KEEP = auto()  # stored where its state belongs
    ARCHIVE = auto()  # delivered in full: into the archive
    DEAD_LETTER = auto()  # refused for good
    SETTLE = auto()  # other runs of its job id are in the way: see `settle_conflict`


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """The run after the answer, what becomes of it, and how long it waits (in memory alone).

    `is_slim`: it is sent without script and description the next time.
    """

    run: Run
    action: RunAction = RunAction.KEEP
    wait_seconds: float = 0.0
    is_slim: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """A request and the moment of its answer, Unix seconds.

    `status` is the HTTP status, None without an answer. `failures` counts the failed requests in a
    row, this one included. `is_to_blame`: a failure is this run's own, because others are accepted.
    `can_be_slim`: a start that was sent with its texts, and may be sent without them.
    """

    kind: RequestKind
    now: float
    cluster: str
    status: int | None = None
    failures: int = 0
    is_to_blame: bool = False
    can_be_slim: bool = False


def react(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return what an answer does to a run: the one dispatch on what it means."""
    if sign_of(verdict) is not Sign.WELL:
        return _failed(run, verdict, context)
    return _REACTIONS[verdict.outcome](run, verdict, context)


def _failed(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the run as it is while it may be the server's fault; else set aside, ever rarer."""
    is_sixth = context.failures > 0 and context.failures % SLIM_FAILURES == 0
    if (context.is_to_blame or is_sixth) and context.can_be_slim and verdict.may_be_in_front:
        # a firewall may dislike its script: once without it, then from the beginning; on a quiet
        # site no other run comes that could be its witness
        return Reaction(run=run, action=RunAction.WAIT, is_slim=True)
    if not context.is_to_blame:
        wait = min(MAX_UNBLAMED_WAIT_SECONDS, 0.5 * 2.0 ** min(context.failures, 10))
        return Reaction(run=run, action=RunAction.WAIT, wait_seconds=wait)
    noted = _with_error(run, verdict, context)
    wait_seconds = min(FIRST_RETRY_SECONDS * 2 ** min(run.attempts, 12), HOUR_SECONDS)
    error = noted.last_error and replace(noted.last_error, hint=ALONE_HINT)
    noted = replace(noted, last_error=error)
    return _count_attempt(noted, context, wait_seconds=wait_seconds, limit=MAX_ATTEMPTS)


def _accepted(run: Run, _verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the run after cc-backend did what was asked."""
    clean = replace(run, last_error=None, not_before=0, attempts=0)
    match context.kind:
        case RequestKind.STOP:
            return Reaction(run=clean, action=RunAction.ARCHIVE)
        case RequestKind.DELETE:
            return Reaction(run=replace(clean, replaces=clean.replaces[1:]))
        case RequestKind.EDIT_META:
            return Reaction(run=clean)
    cluster, attempts = run.cluster or context.cluster, _restarts(run)
    started = int(context.now)
    return Reaction(run=replace(clean, started=started, cluster=cluster, attempts=attempts))


def _start_queued(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the run with its start to be looked up: cc-backend only queued it, and may drop it."""
    noted = _with_error(run, verdict, context)
    return _count_attempt(noted, context, wait_seconds=QUEUE_SECONDS, limit=MAX_QUEUED_STARTS)


def _needs_start(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the run with its start to be sent again; a server that forgets it always is odd."""
    noted = replace(_with_error(run, verdict, context), started=None, attempts=run.attempts + 1)
    if noted.attempts > MAX_RESTARTS:
        return Reaction(run=noted, action=RunAction.DEAD_LETTER)
    return Reaction(run=noted)


def _later(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the run parked; what may be corrected at any moment is tried again by its name."""
    noted = _with_error(run, verdict, context)
    if verdict.reason in _BY_NAME:
        return Reaction(run=noted)
    if verdict.reason is Reason.UNKNOWN_RUN_YET:
        if run.attempts >= MAX_STOP_REPEATS:
            return _needs_start(run, verdict, context)
        return _count_attempt(noted, context, wait_seconds=QUEUE_SECONDS, limit=MAX_ATTEMPTS)
    wait = FLUSH_SECONDS if verdict.reason is Reason.AFTER_FLUSH else HOUR_SECONDS
    return Reaction(run=replace(noted, not_before=int(context.now) + wait))


def _restarts(run: Run) -> int:
    """Return how often the server has forgotten this run's start, for one that is started again."""
    error = run.last_error
    return run.attempts if error and error.outcome == Outcome.NEEDS_START else 0


def _count_attempt(run: Run, context: RequestContext, *, wait_seconds: int, limit: int) -> Reaction:
    counted = replace(run, attempts=run.attempts + 1, not_before=int(context.now) + wait_seconds)
    is_over = counted.attempts >= limit
    return Reaction(run=counted, action=RunAction.DEAD_LETTER if is_over else RunAction.KEEP)


def _with_error(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Run:
    error = LastError(
        time=int(context.now),
        call=context.kind,
        outcome=verdict.outcome,
        reason=verdict.reason.name.lower(),
        message=escape(verdict.message, ANSWER_CHARACTERS),
        hint=verdict.hint,
        status=context.status,
    )
    return replace(run, last_error=error)


def _conflict(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    return Reaction(run=_with_error(run, verdict, context), action=RunAction.SETTLE)


def _rejected(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    return Reaction(run=_with_error(run, verdict, context), action=RunAction.DEAD_LETTER)


_BY_NAME = frozenset({Reason.UNKNOWN_HOST, Reason.UNKNOWN_CLUSTER_ALONE})
_REACTIONS = {
    Outcome.DELIVERED: _accepted,
    Outcome.ALREADY_THERE: _accepted,
    Outcome.CONFIRM: _start_queued,
    Outcome.AMEND: _rejected,  # ccbackend amends by itself; what is left of it helps nobody
    Outcome.NEEDS_START: _needs_start,
    Outcome.CONFLICT: _conflict,
    Outcome.LATER: _later,
    Outcome.REJECTED: _rejected,
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
    context = RequestContext(kind=RequestKind.START, now=now, cluster=run.cluster or "")
    return _count_attempt(
        replace(run, last_error=error), context, wait_seconds=HOUR_SECONDS, limit=MAX_ATTEMPTS
    )

"""React to an answer of cc-backend: (run, verdict, context) → new run and action. Pure.

Without disk and network, tests can combine every recorded answer with every kind of run.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import Any

from ccbackend.outcomes import Outcome, Reason, ReplyVerdict
from slurm.light_dataclass import light_dataclass
from spool.backoff import backoff
from spool.deliver.health_rules import Sign, sign_of
from spool.deliver.pending_run import RequestKind
from spool.escaping import escape
from spool.files.run import LastError, Run

HOUR_SECONDS = 3600
FLUSH_SECONDS = 180  # cc-backend >= 1.5 writes its job cache every 2 minutes or so
QUEUE_SECONDS = 5  # cc-backend 1.4.0 and 1.4.1 store a start some seconds after the 201
FIRST_RETRY_SECONDS = 5
MAX_UNBLAMED_WAIT_SECONDS = 30.0
SLIM_FAILURES = 6  # if no other run is accepted, each sixth try omits the texts
MAX_ATTEMPTS = 24  # of a run that alone fails; the last waits are an hour each
MAX_RESTARTS = 3
MAX_QUEUED_STARTS = 4  # starts that cc-backend 1.4.0 or 1.4.1 queued and never stored
MAX_PUBLISHED_STARTS = 3  # by NATS: two commits of cc-backend's job cache went by in vain
MAX_PUBLISHED_STOPS = 7  # by NATS: five minutes in which a listed run was not stopped
MAX_PUBLISHED = 23  # of a message, each second one an hour after the one before
MAX_STOP_REPEATS = 2  # a stop repeated while its start may still be queued
ANSWER_CHARACTERS = 2000
ALONE_HINT = (
    "cc-backend accepts other runs, so only this one is refused; check the logs of cc-backend and"
    " of proxies in front of it, then `cc-spool retry ID`"
)
NOT_FOUND_HINT = (
    "cc-backend did not find the row of the earlier run: it was already deleted, or it is still in"
    " the job cache. The deletion is repeated once; if the row is still not found, the start is"
    " sent. To repeat the deletion now, type `cc-spool retry ID`"
)


class RunAction(Enum):
    """What to do with a run after an answer."""

    WAIT = auto()  # store nothing: the answer says nothing about this run
    KEEP = auto()  # store it in the directory of its state
    ARCHIVE = auto()  # completely delivered: move it to the archive
    DEAD_LETTER = auto()  # rejected: move it to dead/
    SETTLE = auto()  # other runs of its job id conflict: see `settlement`


@light_dataclass
class Reaction:
    """The run after the answer, the action, and the wait (kept only in memory).

    `is_slim`: the next request omits script and description.
    """

    run: Run
    action: RunAction = RunAction.KEEP
    wait_seconds: float = 0.0
    is_slim: bool = False


@light_dataclass
class RequestContext:
    """A request and the time of its answer, Unix seconds.

    `status` is the HTTP status, None without an answer. `failures` counts the failed requests in a
    row, this one included. `is_to_blame`: the run itself fails, because others are accepted.
    `can_be_slim`: a start that was sent with its texts, and may be sent without them.
    `commit_seconds`: after this time cc-backend lists a start that it has accepted.
    """

    kind: RequestKind
    now: float
    cluster: str
    status: int | None = None
    failures: int = 0
    is_to_blame: bool = False
    can_be_slim: bool = False
    commit_seconds: float = FLUSH_SECONDS


def react(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the reaction to an answer of cc-backend, as its outcome requires."""
    if sign_of(verdict) is not Sign.ANSWERED:
        return _failed(run, verdict, context)
    return _REACTIONS[verdict.outcome](run, verdict, context)


def _failed(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the reaction to a failed request; count an attempt only if the run is to blame."""
    is_sixth = context.failures > 0 and context.failures % SLIM_FAILURES == 0
    if (context.is_to_blame or is_sixth) and context.can_be_slim and verdict.may_be_in_front:
        # a firewall may refuse the script: try once without it, then start over; on a quiet site
        # there is no other run whose acceptance would show that only this one fails
        return Reaction(run=run, action=RunAction.WAIT, is_slim=True)
    # The server may be the cause: no attempt is counted and nothing is stored, so an outage of a
    # week leaves no trace in the runs, and none of them becomes a dead letter.
    if not context.is_to_blame:
        wait = backoff(context.failures, first=0.5, longest=MAX_UNBLAMED_WAIT_SECONDS)
        return Reaction(run=run, action=RunAction.WAIT, wait_seconds=wait)
    noted = _with_error(run, verdict, context)
    wait_seconds = int(backoff(run.attempts, first=FIRST_RETRY_SECONDS, longest=HOUR_SECONDS))
    error = noted.last_error and replace(noted.last_error, hint=ALONE_HINT)
    noted = replace(noted, last_error=error)
    return count_attempt(noted, context, wait_seconds=wait_seconds, limit=MAX_ATTEMPTS)


def _accepted(run: Run, _verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the reaction to an accepted request."""
    # The counts belong to one request. A stop must not inherit the failed attempts of its start.
    clean: dict[str, Any] = {"last_error": None, "not_before": 0, "attempts": 0}
    match context.kind:
        case RequestKind.START:
            # The cluster is kept with the run: if the configuration changes later, the stop must
            # still go to the row that this start has created. The count of restarts survives an
            # accepted start, or a run whose row disappears each time would be started for ever.
            clean["cluster"], clean["started"] = run.cluster or context.cluster, int(context.now)
            clean["attempts"], clean["replacements"] = _restarts(run), 0
        # One row was deleted; the start follows when all rows that it replaces are deleted.
        case RequestKind.DELETE:
            clean["replaces"] = run.replaces[1:]
    is_over = context.kind is RequestKind.STOP
    action = RunAction.ARCHIVE if is_over else RunAction.KEEP
    return Reaction(run=replace(run, **clean), action=action)


def _start_queued(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the reaction to a queued start, which must be checked: cc-backend may drop it."""
    if verdict.reason is Reason.PUBLISHED:
        return _published(run, context)
    # Attempts that were refused before say nothing about starts that cc-backend has queued.
    is_repeated = run.last_error is not None and run.last_error.outcome == Outcome.CONFIRM
    noted = _with_error(run, verdict, context)
    noted = noted if is_repeated else replace(noted, attempts=0)
    return count_attempt(noted, context, wait_seconds=QUEUE_SECONDS, limit=MAX_QUEUED_STARTS)


def _published(run: Run, context: RequestContext) -> Reaction:
    """Return the reaction to a message by NATS: cc-backend drops invalid ones silently.

    It is repeated until a job list shows its effect. After some repetitions the run counts as
    rejected: it is tried once an hour, and becomes a dead letter after half a day.
    """
    error, is_start = run.last_error, context.kind is RequestKind.START
    is_repeated = error is not None and error.call == context.kind and error.reason in _SILENT
    count = run.attempts + 1 if is_repeated else 1
    is_many = count >= (MAX_PUBLISHED_STARTS if is_start else MAX_PUBLISHED_STOPS)
    # what caused it may have been repaired meanwhile: after an hour's wait the next look is soon
    if is_many and error is not None and error.reason == _PUBLISHED:
        verdict, wait = ReplyVerdict(Reason.SWALLOWED), HOUR_SECONDS
    else:
        verdict = ReplyVerdict(Reason.PUBLISHED)
        growing = QUEUE_SECONDS * 2 ** min(count - 1, MAX_PUBLISHED_STOPS - 2)
        wait = int(context.commit_seconds) if is_start else growing
    # A start is listed with the next commit of the job cache, so it waits for one commit. A stop
    # takes effect within milliseconds, or its message was lost: the first repetition is soon.
    noted = replace(_with_error(run, verdict, context), attempts=count - 1)
    wait_seconds = max(QUEUE_SECONDS, wait)
    return count_attempt(noted, context, wait_seconds=wait_seconds, limit=MAX_PUBLISHED)


def _needs_start(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the reaction to a stop whose start cc-backend lacks: resend the start at first."""
    noted = replace(_with_error(run, verdict, context), started=None, attempts=run.attempts + 1)
    # cc-backend accepted the start several times and does not find it: an administrator has to look
    # at its database.
    if noted.attempts > MAX_RESTARTS:
        return Reaction(run=noted, action=RunAction.DEAD_LETTER)
    return Reaction(run=noted)


def _later(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the reaction to a request that may succeed later, such as one with an unknown host."""
    if verdict.reason is Reason.AFTER_FLUSH:
        return _after_flush(run, verdict, context)
    noted = _with_error(run, verdict, context)
    # No wait of its own: `UnknownNames` lets one run of the name through and releases all when it
    # is known.
    if verdict.reason in _BY_NAME:
        return Reaction(run=noted)
    if verdict.reason is Reason.UNKNOWN_RUN_YET:
        if run.attempts >= MAX_STOP_REPEATS:
            return _needs_start(run, verdict, context)
        return count_attempt(noted, context, wait_seconds=QUEUE_SECONDS, limit=MAX_ATTEMPTS)
    return Reaction(run=replace(noted, not_before=int(context.now) + HOUR_SECONDS))


def _after_flush(run: Run, verdict: ReplyVerdict, context: RequestContext) -> Reaction:
    """Return the reaction to a row that may be in the job cache: wait until that is written.

    A delete is answered like this for a cached row and for one that was deleted before, when the
    first answer was lost. So it is repeated once: `replaces` has only rows that were listed, and
    a listed row has left the cache (cc-backend v1.5.4, internal/api/job.go and
    internal/repository/jobFind.go: lists and deletes read only the table `job`). If it is there all
    the same, cc-backend refuses the start.
    """
    is_delete, error = context.kind is RequestKind.DELETE, run.last_error
    if is_delete and error and (error.call, error.reason) == (context.kind, _AFTER_FLUSH):
        return _accepted(run, verdict, context)
    noted = _with_error(run, verdict, context)
    if is_delete:
        error = noted.last_error and replace(noted.last_error, hint=NOT_FOUND_HINT)
        noted = replace(noted, last_error=error)
    # A site may have set another commit interval: then the hold of stops is longer as well.
    wait = max(FLUSH_SECONDS, int(context.commit_seconds))
    return Reaction(run=replace(noted, not_before=int(context.now) + wait))


def _restarts(run: Run) -> int:
    """Return how often the start of this run had to be sent again."""
    error = run.last_error
    return run.attempts if error and error.outcome == Outcome.NEEDS_START else 0


def count_attempt(run: Run, context: RequestContext, *, wait_seconds: int, limit: int) -> Reaction:
    """Count an attempt and return the reaction: wait, or a dead letter if the limit is reached."""
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


_PUBLISHED, _SWALLOWED = (each.name.lower() for each in (Reason.PUBLISHED, Reason.SWALLOWED))
_SILENT = frozenset({_PUBLISHED, _SWALLOWED})
_AFTER_FLUSH = Reason.AFTER_FLUSH.name.lower()
_BY_NAME = frozenset({Reason.UNKNOWN_HOST, Reason.UNKNOWN_CLUSTER_ALONE})
_REACTIONS = {
    Outcome.DELIVERED: _accepted,
    Outcome.ALREADY_THERE: _accepted,
    Outcome.CONFIRM: _start_queued,
    Outcome.AMEND: _rejected,  # ccbackend has already amended the request in vain
    Outcome.NEEDS_START: _needs_start,
    Outcome.CONFLICT: _conflict,
    Outcome.LATER: _later,
    Outcome.REJECTED: _rejected,
}

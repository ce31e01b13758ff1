"""What an answer of cc-backend does to a run. Pure: (run, call, verdict) to a new run and its fate.

Nothing here touches disk or network, so every recorded answer can be tried on every kind of run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto

from ccbackend.classify import Outcome, Reason, ReplyVerdict
from spool.deliver.schedule import Call
from spool.escaping import escape
from spool.files.run import LastError, Run

HOUR_SECONDS = 3600
DAY_SECONDS = 24 * HOUR_SECONDS
FLUSH_SECONDS = 180  # cc-backend >= 1.5 writes its job cache every 2 minutes or so
QUEUE_SECONDS = 5  # cc-backend 1.4.0 and 1.4.1 store a start some seconds after the 201
CLUSTER_SECONDS = 300
PANICS = 3
TRIES = 24
RESTARTS = 3
PROMISES = 4  # starts that cc-backend 1.4.0 or 1.4.1 queued and never stored
LOOKS = 2  # a stop repeated while its start may still be queued
ANSWER_CHARACTERS = 2000
OUT_OF_ORDER = (
    "cc-backend stores runs of one job id in order alone, and a later one is there: delete that"
    " one at cc-backend and `cc-spool retry` this run, or `cc-spool discard` it"
)


class Fate(Enum):
    """What becomes of the run's file."""

    KEEP = auto()  # stored where its state belongs
    GONE = auto()  # told in full: into the archive
    DEAD = auto()  # refused for good


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """The run after the answer and what becomes of it."""

    run: Run
    fate: Fate = Fate.KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request and the moment of its answer, Unix seconds.

    `status` is the HTTP status, None without an answer. `others_pass` says that cc-backend accepted
    other requests since this run last failed.
    """

    call: Call
    now: float
    cluster: str
    status: int | None = None
    others_pass: bool = False


def react(run: Run, verdict: ReplyVerdict, asked: Asked) -> Reaction:
    """Return what an answer does to a run."""
    return _REACTIONS[verdict.outcome](run, verdict, asked)


def _accepted(run: Run, _verdict: ReplyVerdict, asked: Asked) -> Reaction:
    """Return the run after cc-backend did what was asked."""
    clean = replace(run, last_error=None, not_before=0, attempts=0)
    if asked.call is Call.STOP:
        return Reaction(run=clean, fate=Fate.GONE)
    if asked.call is Call.DELETE:
        return Reaction(run=replace(clean, replaces=clean.replaces[1:]))
    return Reaction(
        run=replace(
            clean,
            started=int(asked.now),
            cluster=run.cluster or asked.cluster,
            attempts=run.attempts,  # counts the restarts of a run that is not kept
        )
    )


def _promised(run: Run, verdict: ReplyVerdict, asked: Asked) -> Reaction:
    """Return the run with its start to be looked up: cc-backend only queued it, and may drop it."""
    noted = _noted(run, verdict, asked)
    return _charged(noted, asked, wait_seconds=QUEUE_SECONDS, limit=PROMISES)


def _needs_start(run: Run, verdict: ReplyVerdict, asked: Asked) -> Reaction:
    """Return the run with its start to be told again; a server that forgets it always is odd."""
    noted = replace(_noted(run, verdict, asked), started=None, attempts=run.attempts + 1)
    if noted.attempts > RESTARTS:
        return Reaction(run=noted, fate=Fate.DEAD)
    return Reaction(run=noted)


def _later(run: Run, verdict: ReplyVerdict, asked: Asked) -> Reaction:
    """Return the run parked; only answers about this very run are counted."""
    noted = _noted(run, verdict, asked)
    if verdict.reason in {Reason.PANIC, Reason.UNEXPECTED, Reason.QUERY_FAILED}:
        return _charged(noted, asked, wait_seconds=HOUR_SECONDS, limit=PANICS)
    if verdict.reason is Reason.UNKNOWN_RUN_YET:
        if run.attempts >= LOOKS:
            return _needs_start(run, verdict, asked)
        return _charged(noted, asked, wait_seconds=QUEUE_SECONDS, limit=TRIES)
    wait = _WAITS.get(verdict.reason, HOUR_SECONDS)
    return Reaction(run=replace(noted, not_before=int(asked.now) + wait))


def _retry(run: Run, verdict: ReplyVerdict, asked: Asked) -> Reaction:
    """Return the run as it is while all fail; alone and rarely when only this one does."""
    noted = _noted(run, verdict, asked)
    if not asked.others_pass:
        return Reaction(run=noted)
    wait = min(60 * 2 ** min(run.attempts, 10), HOUR_SECONDS)
    return _charged(noted, asked, wait_seconds=wait, limit=TRIES)


def _charged(run: Run, asked: Asked, *, wait_seconds: int, limit: int) -> Reaction:
    charged = replace(run, attempts=run.attempts + 1, not_before=int(asked.now) + wait_seconds)
    return Reaction(run=charged, fate=Fate.DEAD if charged.attempts >= limit else Fate.KEEP)


def _noted(run: Run, verdict: ReplyVerdict, asked: Asked) -> Run:
    error = LastError(
        time=int(asked.now),
        call=asked.call,
        outcome=verdict.outcome,
        reason=verdict.reason.name.lower(),
        message=escape(verdict.message, ANSWER_CHARACTERS),
        hint=verdict.hint,
        status=asked.status,
    )
    return replace(run, last_error=error)


def _unchanged(run: Run, verdict: ReplyVerdict, asked: Asked) -> Reaction:
    return Reaction(run=_noted(run, verdict, asked))


def _rejected(run: Run, verdict: ReplyVerdict, asked: Asked) -> Reaction:
    return Reaction(run=_noted(run, verdict, asked), fate=Fate.DEAD)


_WAITS = {Reason.AFTER_FLUSH: FLUSH_SECONDS, Reason.UNKNOWN_CLUSTER_ALONE: CLUSTER_SECONDS}
_REACTIONS = {
    Outcome.DELIVERED: _accepted,
    Outcome.ALREADY_THERE: _accepted,
    Outcome.CONFIRM: _promised,
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
    asked = Asked(call=Call.START, now=now, cluster=run.cluster or "")
    return _charged(replace(run, last_error=error), asked, wait_seconds=HOUR_SECONDS, limit=TRIES)

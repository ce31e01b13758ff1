"""Settle a start that cc-backend refuses because of other runs of its job id.

Accounting may have to say whether they are runs of the same job: the run stays in flight until the
answer comes, and no other job waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ccbackend.replies import ApiReply
from spool.deliver.dead_letters import move_rejected_to_dead
from spool.deliver.pending_run import PendingRun, RequestKind
from spool.deliver.reaction import RunAction, settle_conflict
from spool.deliver.request_builder import RequestBuilder
from spool.deliver.run_store import RunStore
from spool.deliver.senders import SendRequest
from spool.files.run import Run
from spool.moment import Moment

ProveSameJob = Callable[[Run, Iterable[int], Callable[[set[int]], None]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPolicy:
    """The site's settings for deliveries.

    `prove` finds out which start times are other runs of the same job, and passes them to a
    function, at once or later.
    """

    hold_seconds: float
    replace_earlier: bool
    prove: ProveSameJob


class Settlement:
    """The settlement of conflicts; for the loop's thread."""

    def __init__(self, store: RunStore, builder: RequestBuilder, policy: DeliveryPolicy) -> None:
        self._store = store
        self._builder = builder
        self._policy = policy

    def begin(self, entry: PendingRun, run: Run, reply: ApiReply, now: Moment) -> None:
        """Find out which rows conflict with a start; the run is in flight until this is known."""
        others = [row.start_time for row in reply.rows or () if row.start_time != run.start_time]
        # It stays in flight while accounting is asked, so that the schedule sends no later run of
        # this job id in between.
        entry.in_flight = RequestKind.START
        policy = self._policy

        def settle(proven: set[int]) -> None:
            entry.in_flight = None
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
                request = SendRequest(
                    kind=RequestKind.START,
                    job_id=run.job_id,
                    start_time=run.start_time,
                    cluster=run.cluster or "",
                    document=reply.document or {},
                )
                move_rejected_to_dead(self._store, entry, reaction.run, request, now)
            elif reaction.run.end is not None and not reaction.run.reported:
                # It has ended and is not to be reported, so nothing can follow for it.
                self._store.complete(entry, reaction.run, now)
            else:
                self._store.persist(entry, reaction.run, now)

        policy.prove(run, others, settle)

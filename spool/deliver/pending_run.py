"""A run in the drain's memory: its next request, and what that request waits for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from ccbackend.outcomes import Outcome
from ccbackend.version import ServerInfo
from spool.files.event import Event
from spool.files.layout import Directory
from spool.files.run import Run, waiting_since
from spool.moment import Moment
from spool.resolve.run_match import TrackedRun
from spool.resolve.slurm_runs import same_start

# Attempts are counted for queued starts (CONFIRM) and for starts sent again (NEEDS_START) too. Only
# with one of these outcomes do they say that the run alone fails.
_BLAMING = frozenset({Outcome.RETRY, Outcome.HALT, Outcome.LATER})
# The time may have been stored while the wall clock was wrong: then it is years ahead.
MAX_WAIT_SECONDS = 24 * 3600.0  # of a stored retry time: no run waits longer

COMMENTS_CAUSE = "Slurm is asked again whether the job's comment contains the opt-out flag"
SLIM_SECONDS = 10.0  # later, what refused the whole start may be repaired: it is tried first


class RequestKind(StrEnum):
    """A request to cc-backend on behalf of one run."""

    START = "start"
    STOP = "stop"
    DELETE = "delete"
    EDIT_META = "edit_meta"


@dataclass(slots=True, kw_only=True)
class PendingRun:
    """A run in the drain's memory; its file is in `todo/` or `open/`, or is not written yet.

    `stored` is its directory (None: its facts are only in memory, in `run`, and its `events` must
    stay). `run` may be dropped when it is stored; `read` is what its file holds, while a request is
    in flight. Until `retry_at` nothing is sent for it, and `waits_for` says why; `stays_due`: it
    waits although no known cause keeps it from being sent (its last request failed). `texts_until`:
    its start waits for script and description; `stop_texts_until`: its stop waits for them, after a
    start without them; `new_texts` are those that arrived after the start; `final_text_until`: its
    stop waits for the description of its end. `clock_wait_until`: until then it may wait because
    its time is in the future (0: it is not); `topology_wanted_at`: a topology older than this lacks
    one of its hosts (0: none is missing). `comments_at` is when its comments, which may exclude it,
    were last read. `accepted_at` is when its start was accepted, from which the stop hold counts;
    `is_listed`: a job list of cc-backend shows it, so its stop needs no hold. `is_published`: its
    start was published by NATS and waits for such a list until `retry_at`. `failures` counts failed
    requests since the last answer, `accepted_before` is the number of accepted requests of other
    runs at the last failure. `is_blamed`: it is known to fail alone. `may_have_arrived`: the last
    request may have reached cc-backend. `is_slim`: sent without script and description, because
    they are refused; only until `slim_until`. `hook_times`: when the hook's event of a request was
    written, by the monotonic clock, until the request is accepted.
    """

    job_id: int
    start_time: int
    end_time: int | None = None
    started: int | None = None
    reported: bool = True
    restarts: int | None = None
    replaces: tuple[int, ...] = ()
    host: str = ""
    cluster: str = ""
    is_blamed: bool = False
    stored: Directory | None = None
    run: Run | None = None
    read: Run | None = None
    events: frozenset[str] = frozenset()
    in_flight: RequestKind | None = None
    retry_at: float = 0.0
    waits_for: str = ""
    stays_due: bool = False
    texts_until: float = 0.0
    stop_texts_until: float = 0.0
    final_text_until: float = 0.0
    clock_wait_until: float = 0.0
    topology_wanted_at: float = 0.0
    comments_at: float = 0.0
    new_texts: tuple[str, ...] = ()
    accepted_at: float = 0.0
    is_listed: bool = False
    is_published: bool = False
    failures: int = 0
    accepted_before: int | None = None
    may_have_arrived: bool = False
    is_slim: bool = False
    slim_until: float = 0.0
    staged_at: float = 0.0
    hook_times: dict[RequestKind, float] = field(default_factory=dict)

    def update(self, run: Run, now: Moment) -> None:
        """Update the entry from a new value of the run."""
        if run.started != self.started and run.started is not None:
            # By the time in the file, so that the hold of a stop goes on over a restart of the
            # drain.
            self.accepted_at = now.steady_since(run.started)
        elif run.started is None and self.started is not None:
            self.is_listed = False  # its row may have vanished; a new one is in the job cache
        self.run, self.read = run, None
        self.end_time = None if run.end is None else run.end.time
        self.started = run.started
        self.reported = run.reported
        self.restarts = run.job.restart_count
        if run.not_before:
            # Only memory knows the other waits (for texts, for a name): a new value of the run must
            # not shorten them.
            at = now.steady_at(run.not_before, longest=MAX_WAIT_SECONDS)
            self.retry_at = max(self.retry_at, at)
        self.replaces = run.replaces
        self.host = run.job.nodes[0] if run.job.nodes else ""
        self.cluster = run.cluster or ""
        self.is_published = run.start_is_published
        error = run.last_error
        # The file keeps this over a restart: a run that is known to fail alone must not become the
        # first evidence against the server.
        self.is_blamed = bool(run.attempts and error and error.outcome in _BLAMING)

    def note_listed(self) -> None:
        """Record that cc-backend lists the run: its start and stop need not wait for a job list."""
        self.is_listed = True
        if self.is_published and self.next_request is RequestKind.START:
            self.retry_at = 0.0

    def note_slim(self, *, begins: bool, was_answered: bool, now: float) -> bool:
        """Set whether the next request omits the texts; return whether the last one omitted them.

        If cc-backend itself answered a request without texts, the next one omits them too: with
        them, a proxy in front of cc-backend would refuse it again.
        """
        was_slim = self.is_slim
        self.is_slim = begins or (was_slim and was_answered)
        self.slim_until = now + SLIM_SECONDS if begins else float("inf")
        return was_slim

    @property
    def has_failed(self) -> bool:
        """Return whether the run's last request failed, so that the next one may hang as well.

        A request without script and description is another one: nothing is known of it yet.
        """
        return not self.is_slim and (bool(self.failures) or self.is_blamed)

    def maybe_sent(self, run: Run, server: ServerInfo) -> bool:
        """Return whether the same start may have reached cc-backend without being listed yet.

        After the wait for a flush, an earlier start would be listed: if the start is refused then,
        the row of another run is the cause. Without this rule, a start that first fails with its
        texts each time would wait for a flush forever.
        """
        is_visible = server.caches_starts and run.awaited_flush
        return run.start_is_queued or (self.may_have_arrived and not is_visible)

    @property
    def in_memory(self) -> Run | None:
        """Return the run as it is now; None: only its file has it."""
        return self.run or self.read

    @property
    def key(self) -> tuple[int, int]:
        """Return job id and start time."""
        return self.job_id, self.start_time

    @property
    def name(self) -> str:
        """Return the run's file name."""
        return f"{self.job_id}-{self.start_time}.json"

    @property
    def next_request(self) -> RequestKind | None:
        """Return the kind of the run's next request, due or not; None if nothing is to be sent."""
        if not self.reported:
            return None
        if self.started is None:
            # `replaces` is filled only after cc-backend has refused this start because of those
            # rows: no row is deleted as a precaution.
            return RequestKind.DELETE if self.replaces else RequestKind.START
        # Texts go before the stop: cc-backend >= 1.5 archives the row when it is stopped, and a
        # later change would reach its database alone.
        if self.new_texts:
            return RequestKind.EDIT_META
        return None if self.end_time is None else RequestKind.STOP

    def note_hooks(self, events: Iterable[Event], now: Moment) -> None:
        """Record when the hook wrote the event of the next request, from the events of the job."""
        for event in events:
            is_own = event.start is None or same_start(event.start, self.start_time)
            if is_own and event.is_of_hook and str(event.kind) == self.next_request:
                self.note_hook(now.steady_since(event.time))

    def note_hook(self, at: float) -> None:
        """Record when the hook of the next start or stop wrote its event, unless this is known."""
        kind = self.next_request
        if kind in {RequestKind.START, RequestKind.STOP}:
            self.hook_times.setdefault(kind, at)

    def tracked(self) -> TrackedRun:
        """Return the facts that the resolution of events needs."""
        return TrackedRun(
            start_time=self.start_time,
            end=self.end_time,
            started=self.started is not None,
            reported=self.reported,
            restarts=self.restarts,
        )


def pending_run(run: Run, stored: Directory | None, now: Moment) -> PendingRun:
    """Create the entry of a run; that of a stored run does not keep the run itself in memory."""
    entry = PendingRun(job_id=run.job_id, start_time=run.start_time, stored=stored)
    entry.update(run, now)
    entry.new_texts = run.late_texts  # not in update(): those sent meanwhile are not sent again
    if stored is not None:
        # 40 000 entries with their scripts would need gigabytes; the file has them.
        entry.run = None
        entry.note_hook(now.steady_since(waiting_since(run)))  # its event has been removed
    return entry

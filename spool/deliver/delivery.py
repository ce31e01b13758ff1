"""Hand requests to the senders and let their replies change the book. One thread's property."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ccbackend.outcome import Outcome, Reason, Verdict
from ccbackend.topology import Cluster
from ccbackend.version import Server
from spool.deliver.burial import bury_refused, bury_unreadable, bury_unsendable
from spool.deliver.hosts import UnknownHosts, postpone
from spool.deliver.link import Link
from spool.deliver.reaction import Asked, Fate, Reaction, react, settle_conflict
from spool.deliver.schedule import Call, Entry
from spool.deliver.senders import Reply, Request
from spool.drain.book import Book
from spool.errors import NewerFormatError, RunError
from spool.files.run import Run
from spool.files.state import Handling
from spool.text import escape

DEPTH = 16  # requests a sender holds: enough to stay busy while Slurm is asked
_ACCEPTED = frozenset({Outcome.DELIVERED, Outcome.ALREADY_THERE, Outcome.CONFIRM})
_log = logging.getLogger(__name__)


class UnsendableError(Exception):
    """No valid request can be made of a run; the message says why."""


class Composer(Protocol):
    """Makes requests of runs with the maps of the configuration; pure."""

    def learn(self, clusters: Iterable[Cluster]) -> None:
        """Take over what cc-backend says of its clusters."""

    def cluster(self, run: Run) -> str:
        """Return the cluster's name at cc-backend."""

    def unreported_reason(self, run: Run) -> str | None:
        """Return why a run is not to be reported; None if it is."""

    def document(self, run: Run, call: Call, server: Server) -> Mapping[str, Any]:
        """Return the body of a start, stop or delete.

        Raises:
            UnsendableError: the run lacks something every server demands.
        """


class Outlet(Protocol):
    """What takes requests; a `Sender` is one."""

    outstanding: int

    def send(self, request: Request) -> None:
        """Queue a request; its reply will come, sent or not."""

    def acknowledge(self) -> None:
        """Count a reply as received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How to deliver. `prove` returns which start times are earlier runs of the same job."""

    hold_seconds: float
    replace_earlier: bool
    prove: Callable[[Run, Iterable[int]], set[int]]


class Delivery:
    """Fills the senders and reads their replies. Times are Unix seconds."""

    def __init__(
        self,
        book: Book,
        link: Link,
        composer: Composer,
        *,
        senders: tuple[Outlet, Outlet],
        handling: Handling,
        terms: Terms,
    ) -> None:
        self._book = book
        self._link = link
        self._composer = composer
        self._starts, self._stops = senders
        self._handling = handling
        self._terms = terms
        self._hosts = UnknownHosts()

    @property
    def outstanding(self) -> int:
        """Return how many requests have no reply yet."""
        return self._starts.outstanding + self._stops.outstanding

    @property
    def unknown_hosts(self) -> int:
        """Return how many hosts cc-backend does not know."""
        return len(self._hosts)

    def fill(self, now: float, *, stops_only: bool = False) -> None:
        """Hand out what is due and allowed; `stops_only` where the disk takes no new runs."""
        self._book.schedule.hold(self._link.hold_seconds(self._terms.hold_seconds), now)
        if self._link.wants_version(now):
            if not self._starts.outstanding:
                self._starts.send(self._request(Call.PROBE))
        elif self._link.is_up:
            if not stops_only:
                self._fill(self._starts, now, stops=False)
            self._fill(self._stops, now, stops=True)
        elif self._link.destination.probe_is_due(now) and not self.outstanding:
            self._probe(now)

    def take(self, reply: Reply, now: float) -> None:
        """Let one reply change the book."""
        request, verdict = reply.request, reply.verdict
        (self._stops if request.call is Call.STOP else self._starts).acknowledge()
        if request.call is Call.PROBE:
            self._take_probe(reply, now)
            return
        entry = self._book.schedule.get(request.job_id, request.start_time)
        if entry is None:
            return
        entry.in_flight = None
        if verdict is None:
            self._book.schedule.touch(entry.job_id, now)
            return
        others_pass = entry.failed_at is not None and self._link.accepted > entry.failed_at
        retry_after = reply.retry_after_seconds
        self._link.note(verdict, now, alone=others_pass, retry_after=retry_after)
        run = self._run_of(entry, now)
        if run is None:
            return
        asked = Asked(
            call=request.call,
            now=now,
            cluster=request.cluster,
            others_pass=others_pass,
        )
        reaction = react(run, verdict, asked)
        if verdict.outcome is Outcome.CONFLICT:
            reaction = self._settled(reaction.run, reply, now)
        self._apply(entry, reaction, reply, now)

    def _fill(self, sender: Outlet, now: float, *, stops: bool) -> None:
        while sender.outstanding < DEPTH:
            entry = self._book.schedule.take(now, stops=stops)
            if entry is None:
                return
            request = self._request_of(entry, now)
            if request is not None:
                sender.send(request)

    def _probe(self, now: float) -> None:
        """Send the head of one lane, or a bare question where no run waits."""
        outlets = ((self._starts, False), (self._stops, True))
        for sender, stops in outlets if self._link.server is not None else ():
            entry = self._book.schedule.take(now, stops=stops)
            request = None if entry is None else self._request_of(entry, now)
            if request is not None:
                sender.send(replace(request, is_probe=True))
                return
        self._starts.send(replace(self._request(Call.PROBE), is_probe=True))

    def _request(self, call: Call) -> Request:
        return Request(call=call, job_id=0, start_time=0, cluster="", wave=self._link.wave)

    def _request_of(self, entry: Entry, now: float) -> Request | None:
        """Return the request of a run in flight; None if it waits or is buried."""
        until = self._hosts.blocked_until(entry.host, now)
        if entry.in_flight is Call.START and until is not None:
            postpone(entry, until, self._book.schedule, now)
            return None
        run = self._run_of(entry, now)
        if run is None:
            return None
        try:
            with self._handling(entry.name):
                reason = None if run.cluster else self._composer.unreported_reason(run)
                if reason is None:
                    return self._compose(entry, run)
                self._leave_out(entry, run, reason, now)
        except UnsendableError as error:
            bury_unsendable(self._book, entry, run, str(error), now)
        return None

    def _leave_out(self, entry: Entry, run: Run, reason: str, now: float) -> None:
        """Keep a run that is not to be reported until its end, or forget it if that is known."""
        entry.in_flight = None
        left = replace(run, reported=False, reason=reason)
        _log.info("job=%d start=%d not reported: %s", run.job_id, run.start_time, escape(reason))
        if run.end is None:
            self._book.harden(entry, left, now)
        else:
            self._book.finish(entry, left, now)

    def _run_of(self, entry: Entry, now: float) -> Run | None:
        """Return an entry's run; None if it cannot be read and is set aside."""
        if self._handling.is_poison(entry.name):
            bury_unreadable(self._book, entry, "handling it ended the drain three times", now)
            return None
        try:
            with self._handling(entry.name):
                return self._book.run_of(entry)
        except (OSError, RunError, NewerFormatError) as error:
            bury_unreadable(self._book, entry, str(error), now)
        return None

    def _compose(self, entry: Entry, run: Run) -> Request:
        call = entry.in_flight or Call.START
        server = self._link.server or Server()
        request = Request(
            call=call,
            job_id=entry.job_id,
            start_time=entry.start_time,
            cluster=self._composer.cluster(run),
            wave=self._link.wave,
        )
        return replace(request, document=self._composer.document(run, call, server))

    def _take_probe(self, reply: Reply, now: float) -> None:
        if reply.verdict is not None:
            self._link.note(reply.verdict, now, retry_after=reply.retry_after_seconds)
            self._link.found(reply.server, now)
            if reply.clusters is not None:
                self._composer.learn(reply.clusters)

    def _apply(self, entry: Entry, reaction: Reaction, reply: Reply, now: float) -> None:
        """Let a reaction change the book."""
        verdict, request = reply.verdict, reply.request
        if verdict is None:
            return
        self._count(entry, verdict, now)
        if reaction.fate is Fate.GONE:
            self._log(entry, request, verdict)
            self._book.finish(entry, reaction.run, now)
        elif reaction.fate is Fate.DEAD:
            sent = reply.document or request.document
            bury_refused(self._book, entry, reaction.run, replace(request, document=sent), now)
        else:
            self._keep(entry, reaction.run, verdict, request, now)

    def _keep(self, entry: Entry, run: Run, verdict: Verdict, request: Request, now: float) -> None:
        """Store what an answer changed; an outage by itself changes no file."""
        if run.end is not None and not run.reported:
            self._book.finish(entry, run, now)
        elif verdict.outcome in {Outcome.RETRY, Outcome.HALT} and run.not_before <= now:
            entry.run = run if entry.stored is None else entry.run
            self._book.schedule.touch(entry.job_id, now)
        else:
            self._log(entry, request, verdict)
            self._book.harden(entry, run, now)

    def _settled(self, run: Run, reply: Reply, now: float) -> Reaction:
        """Return what becomes of a start that other runs of its job id stand in the way of."""
        others = [start for start in reply.starts if start != run.start_time]
        proven = self._terms.prove(run, others)
        replace_earlier = self._terms.replace_earlier
        return settle_conflict(run, others, proven, replace_earlier=replace_earlier, now=now)

    def _count(self, entry: Entry, verdict: Verdict, now: float) -> None:
        """Note what an answer says about the run's luck and its first host."""
        if verdict.outcome in {Outcome.RETRY, Outcome.HALT}:
            entry.failures += 1
            entry.failed_at = self._link.accepted
            return
        entry.failures, entry.failed_at = 0, None
        if verdict.reason is Reason.UNKNOWN_HOST:
            self._hosts.refuse(entry.host, verdict.message, now)
        elif verdict.outcome in _ACCEPTED:
            self._hosts.accept(entry.host, self._book.schedule, now)

    def _log(self, entry: Entry, request: Request, verdict: Verdict) -> None:
        _log.info(
            "job=%d cluster=%s start=%d call=%s outcome=%s",
            entry.job_id,
            escape(request.cluster),
            entry.start_time,
            request.call,
            verdict.outcome,
        )

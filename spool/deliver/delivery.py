"""Hand requests to the senders and let their replies change the book. One thread's property."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from ccbackend.classify import Outcome, Reason, ReplyVerdict
from spool.deliver.book import Book
from spool.deliver.burial import bury_refused
from spool.deliver.held import HeldStops
from spool.deliver.link import Link
from spool.deliver.reaction import (
    Asked,
    Fate,
    Reaction,
    react,
    settle_conflict,
)
from spool.deliver.requests import Composer, RequestMaker
from spool.deliver.schedule import Call, Entry
from spool.deliver.senders import Reply, Request
from spool.escaping import escape
from spool.files.run import Run
from spool.files.state_files import CrashMarker

DEPTH = 16  # requests a sender holds: enough to stay busy while Slurm is asked
_BY_STOPS = frozenset({Call.STOP, Call.LIST})
_log = logging.getLogger(__name__)


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
        crash_marker: CrashMarker,
        terms: Terms,
    ) -> None:
        self._book = book
        self._link = link
        self._composer = composer
        self._starts, self._stops = senders
        self._terms = terms
        self._maker = RequestMaker(book, link, composer, crash_marker)
        self._held = HeldStops()

    @property
    def outstanding(self) -> int:
        """Return how many requests have no reply yet."""
        return self._starts.outstanding + self._stops.outstanding

    @property
    def unknown_hosts(self) -> int:
        """Return how many hosts cc-backend does not know."""
        return len(self._maker.hosts)

    def fill(self, now: float, *, stops_only: bool = False) -> None:
        """Hand out what is due and allowed; `stops_only` where the disk takes no new runs."""
        self._book.schedule.hold(self._link.hold_seconds(self._terms.hold_seconds), now)
        if self._link.wants_version(now):
            if not self._starts.outstanding:
                self._starts.send(self._maker.bare(Call.PROBE))
        elif self._link.is_up:
            if not stops_only:
                self._fill(self._starts, now, stops=False)
            self._fill(self._stops, now, stops=True)
            self._ask_about_held(now)
        elif self._link.destination.probe_is_due(now) and not self.outstanding:
            self._probe(now)

    def take(self, reply: Reply, now: float) -> None:
        """Let one reply change the book."""
        request, verdict = reply.request, reply.verdict
        (self._stops if request.call in _BY_STOPS else self._starts).acknowledge()
        if request.call is not Call.PROBE:
            self._link.noticed(reply.server)
        if request.call in {Call.PROBE, Call.LIST}:
            self._take_bare(reply, now)
            return
        entry = self._book.schedule.get(request.job_id, request.start_time)
        if entry is None:
            return
        entry.in_flight = None
        if verdict is None:
            self._book.schedule.touch(entry.job_id, now)
            return
        verdict = self._maker.own(verdict)
        others_pass = entry.failed_at is not None and self._link.accepted > entry.failed_at
        retry_after = reply.retry_after_seconds
        self._link.note(verdict, now, alone=others_pass, retry_after=retry_after, wave=request.wave)
        run = self._maker.run_of(entry, now)
        if run is None:
            return
        asked = Asked(
            call=request.call,
            now=now,
            cluster=request.cluster,
            status=reply.status,
            others_pass=others_pass,
        )
        reaction = react(run, verdict, asked)
        if verdict.outcome is Outcome.CONFLICT:
            reaction = self._settled(reaction.run, reply, now)
        self._apply(entry, reaction, verdict=verdict, reply=reply, now=now)

    def _fill(self, sender: Outlet, now: float, *, stops: bool) -> None:
        while sender.outstanding < DEPTH:
            entry = self._book.schedule.take(now, stops=stops)
            if entry is None:
                return
            request = self._maker.request_of(entry, now)
            if request is not None:
                sender.send(request)

    def _probe(self, now: float) -> None:
        """Send the head of one lane; a bare question where no run waits but those that failed.

        A run that failed proves nothing by failing again: others would wait for it for ever.
        """
        outlets = ((self._starts, False), (self._stops, True))
        for sender, stops in outlets if self._link.server is not None else ():
            entry = self._book.schedule.take(now, stops=stops)
            if entry is not None and entry.failures:
                entry.in_flight = None
                self._book.schedule.touch(entry.job_id, now)
                continue
            request = None if entry is None else self._maker.request_of(entry, now)
            if request is not None:
                sender.send(replace(request, is_probe=True))
                return
        self._starts.send(replace(self._maker.bare(Call.PROBE), is_probe=True))

    def _ask_about_held(self, now: float) -> None:
        """Ask which runs with a held stop are listed, by the thread that has nothing to stop."""
        if self._stops.outstanding or not (self._link.server and self._link.server.caches_starts):
            return
        cluster, job_ids = self._held.question(self._book.schedule, now)
        if job_ids:
            self._stops.send(self._maker.bare(Call.LIST, cluster, job_ids))

    def _take_bare(self, reply: Reply, now: float) -> None:
        if reply.verdict is None:
            return
        wave = reply.request.wave
        after = reply.retry_after_seconds
        self._link.note(reply.verdict, now, retry_after=after, wave=wave, is_bare=True)
        if reply.request.call is Call.LIST:
            self._held.take(reply.listed, self._book.schedule, now)
        else:
            self._link.found(reply.server, now)
            if reply.clusters is not None:
                self._composer.learn(reply.clusters)

    def _apply(
        self, entry: Entry, reaction: Reaction, *, verdict: ReplyVerdict, reply: Reply, now: float
    ) -> None:
        """Let a reaction change the book."""
        request = reply.request
        self._count(entry, request, verdict, now)
        if reaction.fate is Fate.GONE:
            self._log(entry, request, verdict)
            self._book.finish(entry, reaction.run, now)
        elif reaction.fate is Fate.DEAD:
            sent = reply.document or request.document
            bury_refused(self._book, entry, reaction.run, replace(request, document=sent), now)
        else:
            self._keep(entry, reaction.run, verdict, request, now)

    def _keep(
        self, entry: Entry, run: Run, verdict: ReplyVerdict, request: Request, now: float
    ) -> None:
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

    def _count(self, entry: Entry, request: Request, verdict: ReplyVerdict, now: float) -> None:
        """Note what an answer says about the run's luck, its first host and its cluster."""
        if verdict.outcome in {Outcome.RETRY, Outcome.HALT}:
            entry.failures += 1
            entry.failed_at = self._link.accepted
            is_unknown = verdict.outcome is Outcome.RETRY
            entry.is_unsure |= is_unknown and verdict.reason is not Reason.UNREACHABLE
            return
        entry.failures, entry.failed_at, entry.is_unsure = 0, None, False
        self._maker.learn(entry, request, verdict, now)

    def _log(self, entry: Entry, request: Request, verdict: ReplyVerdict) -> None:
        _log.info(
            "job=%d cluster=%s start=%d call=%s outcome=%s",
            entry.job_id,
            escape(request.cluster),
            entry.start_time,
            request.call,
            verdict.outcome,
        )

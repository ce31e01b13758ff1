"""Make requests of runs when they are sent; what cannot be sent waits, is left out or buried."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from ccbackend.classify import Outcome, Reason, ReplyVerdict
from ccbackend.topology import Cluster
from ccbackend.version import ServerInfo
from spool.deliver.book import Book
from spool.deliver.burial import bury_unreadable, bury_unsendable
from spool.deliver.hosts import Unknown
from spool.deliver.link import Link
from spool.deliver.reaction import CLUSTER_SECONDS
from spool.deliver.schedule import Call, Entry
from spool.deliver.senders import Request
from spool.errors import NewerFormatError, RunFileError
from spool.escaping import escape
from spool.files.run import Run
from spool.files.state_files import CrashMarker

FUTURE_SECONDS = 300
_ACCEPTED = frozenset({Outcome.DELIVERED, Outcome.ALREADY_THERE, Outcome.CONFIRM})
_log = logging.getLogger(__name__)


class UnsendableError(Exception):
    """No valid request can be made of a run; the message says why."""


class Composer(Protocol):
    """Makes requests of runs with the maps of the configuration; pure."""

    @property
    def has_several_clusters(self) -> bool:
        """Tell whether partitions are shown as clusters of their own."""

    def learn(self, clusters: Iterable[Cluster]) -> None:
        """Take over what cc-backend says of its clusters."""

    def cluster(self, run: Run) -> str:
        """Return the cluster's name at cc-backend."""

    def exclusion_reason(self, run: Run) -> str | None:
        """Return why a run is not to be reported; None if it is."""

    def document(self, run: Run, call: Call, server: ServerInfo) -> Mapping[str, Any]:
        """Return the body of a start, stop or delete.

        Raises:
            UnsendableError: the run lacks something every server demands.
        """


class RequestMaker:
    """Belongs to the drain's thread. Times are Unix seconds."""

    def __init__(
        self, book: Book, link: Link, composer: Composer, crash_marker: CrashMarker
    ) -> None:
        self._book = book
        self._link = link
        self._composer = composer
        self._crash_marker = crash_marker
        self.hosts = Unknown("host")
        self.clusters = Unknown("cluster", seconds=CLUSTER_SECONDS)

    def bare(self, call: Call, cluster: str = "", job_ids: tuple[int, ...] = ()) -> Request:
        """Return a request about no run."""
        return Request(
            call=call,
            job_id=0,
            start_time=0,
            cluster=cluster,
            wave=self._link.wave,
            job_ids=job_ids,
        )

    def request_of(self, entry: Entry, now: float) -> Request | None:
        """Return the request of a run in flight; None if it waits, is left out or buried."""
        schedule = self._book.schedule
        is_start = entry.in_flight is Call.START
        if self._lies_ahead(entry, now) or (
            is_start and self.hosts.keeps(entry, entry.host, schedule, now)
        ):
            return None
        run = self.run_of(entry, now)
        if run is None:
            return None
        cluster = self._composer.cluster(run)
        if is_start and self.clusters.keeps(entry, cluster, schedule, now):
            return None
        try:
            with self._crash_marker(entry.name):
                reason = None if run.cluster else self._composer.exclusion_reason(run)
                if reason is None:
                    return self._compose(entry, run, cluster)
                self._leave_out(entry, run, reason, now)
        except UnsendableError as error:
            bury_unsendable(self._book, entry, run, str(error), now)
        return None

    def run_of(self, entry: Entry, now: float) -> Run | None:
        """Return an entry's run; None if it cannot be read and is set aside."""
        if self._crash_marker.is_poison(entry.name):
            bury_unreadable(self._book, entry, "handling it ended the drain three times", now)
            return None
        try:
            with self._crash_marker(entry.name):
                return self._book.run_of(entry)
        except (OSError, RunFileError, NewerFormatError) as error:
            bury_unreadable(self._book, entry, str(error), now)
        return None

    def own(self, verdict: ReplyVerdict) -> ReplyVerdict:
        """Return a verdict as it counts here: of several clusters an unknown one halts itself."""
        if verdict.reason is Reason.UNKNOWN_CLUSTER and self._composer.has_several_clusters:
            self._link.go_on()
            return ReplyVerdict(Reason.UNKNOWN_CLUSTER_ALONE, verdict.message)
        return verdict

    def learn(self, entry: Entry, request: Request, verdict: ReplyVerdict, now: float) -> None:
        """Note what an answer says about the first host and the cluster of a run."""
        if verdict.reason is Reason.UNKNOWN_HOST:
            self.hosts.refuse(entry, entry.host, verdict.message, now)
        elif verdict.reason is Reason.UNKNOWN_CLUSTER_ALONE:
            self.clusters.refuse(entry, request.cluster, verdict.message, now)
        elif verdict.outcome in _ACCEPTED:
            self.hosts.accept(entry.host, self._book.schedule, now)
            self.clusters.accept(request.cluster, self._book.schedule, now)

    def _lies_ahead(self, entry: Entry, now: float) -> bool:
        """Tell whether a start or end lies in the future: it waits there, the clocks differ."""
        instant = entry.end_time if entry.in_flight is Call.STOP else entry.start_time
        at = (instant or 0) - FUTURE_SECONDS
        if at <= now:
            return False
        _log.warning(
            "job=%d start=%d: its %s lies in the future; compare the clocks",
            entry.job_id,
            entry.start_time,
            entry.in_flight,
        )
        entry.in_flight, entry.not_before = None, at
        self._book.schedule.touch(entry.job_id, now)
        return True

    def _leave_out(self, entry: Entry, run: Run, reason: str, now: float) -> None:
        """Keep a run that is not to be reported until its end, or forget it if that is known."""
        entry.in_flight = None
        left = replace(run, reported=False, reason=reason)
        _log.info("job=%d start=%d not reported: %s", run.job_id, run.start_time, escape(reason))
        if run.end is None:
            self._book.harden(entry, left, now)
        else:
            self._book.finish(entry, left, now)

    def _compose(self, entry: Entry, run: Run, cluster: str) -> Request:
        call = entry.in_flight or Call.START
        return Request(
            call=call,
            job_id=entry.job_id,
            start_time=entry.start_time,
            cluster=cluster,
            document=self._composer.document(run, call, self._link.server or ServerInfo()),
            wave=self._link.wave,
            maybe_sent=entry.is_unsure or _is_promised(run),
            state=None if run.end is None else run.end.state,
        )


def _is_promised(run: Run) -> bool:
    """Tell whether cc-backend has queued the start, and perhaps stored it."""
    return run.last_error is not None and run.last_error.outcome == Outcome.CONFIRM

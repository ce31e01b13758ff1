"""Make requests of runs when they are sent; what cannot be sent waits, is left out or buried."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from ccbackend.classify import Outcome, Reason, ReplyVerdict
from ccbackend.topology import Cluster
from ccbackend.version import ServerInfo
from spool.deliver.backend_health import BackendHealth
from spool.deliver.dead_letters import move_unreadable_to_dead, move_unsendable_to_dead
from spool.deliver.reaction import UNKNOWN_CLUSTER_SECONDS
from spool.deliver.run_store import RunStore
from spool.deliver.schedule import RequestKind, ScheduleEntry
from spool.deliver.senders import SendRequest
from spool.deliver.unknown_names import UnknownNames
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

    def update_clusters(self, clusters: Iterable[Cluster]) -> None:
        """Take over what cc-backend says of its clusters."""

    def cluster(self, run: Run) -> str:
        """Return the cluster's name at cc-backend."""

    def exclusion_reason(self, run: Run) -> str | None:
        """Return why a run is not to be reported; None if it is."""

    def document(self, run: Run, call: RequestKind, server: ServerInfo) -> Mapping[str, Any]:
        """Return the body of a start, stop or delete.

        Raises:
            UnsendableError: the run lacks something every server demands.
        """


class RequestBuilder:
    """Belongs to the drain's thread. Times are Unix seconds."""

    def __init__(
        self,
        store: RunStore,
        backend_health: BackendHealth,
        composer: Composer,
        crash_marker: CrashMarker,
    ) -> None:
        self._store = store
        self._backend_health = backend_health
        self._composer = composer
        self._crash_marker = crash_marker
        self.hosts = UnknownNames("host")
        self.clusters = UnknownNames("cluster", seconds=UNKNOWN_CLUSTER_SECONDS)

    def server_request(
        self, call: RequestKind, cluster: str = "", job_ids: tuple[int, ...] = ()
    ) -> SendRequest:
        """Return a request about no run."""
        return SendRequest(
            call=call,
            job_id=0,
            start_time=0,
            cluster=cluster,
            generation=self._backend_health.generation,
            job_ids=job_ids,
        )

    def build(self, entry: ScheduleEntry, now: float) -> SendRequest | None:
        """Return the request of a run in flight; None if it waits, is left out or buried."""
        schedule = self._store.schedule
        is_start = entry.in_flight is RequestKind.START
        if self._is_in_future(entry, now) or (
            is_start and self.hosts.defers(entry, entry.host, schedule, now)
        ):
            return None
        run = self.load_run(entry, now)
        if run is None:
            return None
        cluster = self._composer.cluster(run)
        if is_start and self.clusters.defers(entry, cluster, schedule, now):
            return None
        try:
            with self._crash_marker(entry.name):
                reason = None if run.cluster else self._composer.exclusion_reason(run)
                if reason is None:
                    return self._compose(entry, run, cluster)
                self._exclude(entry, run, reason, now)
        except UnsendableError as error:
            move_unsendable_to_dead(self._store, entry, run, str(error), now)
        return None

    def load_run(self, entry: ScheduleEntry, now: float) -> Run | None:
        """Return an entry's run; None if it cannot be read and is set aside."""
        if self._crash_marker.is_poison(entry.name):
            move_unreadable_to_dead(
                self._store, entry, "handling it ended the drain three times", now
            )
            return None
        try:
            with self._crash_marker(entry.name):
                return self._store.load_run(entry)
        except (OSError, RunFileError, NewerFormatError) as error:
            move_unreadable_to_dead(self._store, entry, str(error), now)
        return None

    def adjust_verdict(self, verdict: ReplyVerdict) -> ReplyVerdict:
        """Return a verdict as it counts here: of several clusters an unknown one halts itself."""
        if verdict.reason is Reason.UNKNOWN_CLUSTER and self._composer.has_several_clusters:
            self._backend_health.start_generation()
            return ReplyVerdict(Reason.UNKNOWN_CLUSTER_ALONE, verdict.message)
        return verdict

    def record_names(
        self, entry: ScheduleEntry, request: SendRequest, verdict: ReplyVerdict, now: float
    ) -> None:
        """Note what an answer says about the first host and the cluster of a run."""
        if verdict.reason is Reason.UNKNOWN_HOST:
            self.hosts.mark_unknown(entry, entry.host, verdict.message, now)
        elif verdict.reason is Reason.UNKNOWN_CLUSTER_ALONE:
            self.clusters.mark_unknown(entry, request.cluster, verdict.message, now)
        elif verdict.outcome in _ACCEPTED:
            self.hosts.mark_known(entry.host, self._store.schedule, now)
            self.clusters.mark_known(request.cluster, self._store.schedule, now)

    def _is_in_future(self, entry: ScheduleEntry, now: float) -> bool:
        """Tell whether a start or end lies in the future: it waits there, the clocks differ."""
        instant = entry.end_time if entry.in_flight is RequestKind.STOP else entry.start_time
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
        self._store.schedule.reschedule(entry.job_id, now)
        return True

    def _exclude(self, entry: ScheduleEntry, run: Run, reason: str, now: float) -> None:
        """Keep a run that is not to be reported until its end, or forget it if that is known."""
        entry.in_flight = None
        left = replace(run, reported=False, reason=reason)
        _log.info("job=%d start=%d not reported: %s", run.job_id, run.start_time, escape(reason))
        if run.end is None:
            self._store.persist(entry, left, now)
        else:
            self._store.complete(entry, left, now)

    def _compose(self, entry: ScheduleEntry, run: Run, cluster: str) -> SendRequest:
        call = entry.in_flight or RequestKind.START
        return SendRequest(
            call=call,
            job_id=entry.job_id,
            start_time=entry.start_time,
            cluster=cluster,
            document=self._composer.document(
                run, call, self._backend_health.server or ServerInfo()
            ),
            generation=self._backend_health.generation,
            maybe_sent=entry.may_have_arrived or _start_is_queued(run),
            state=None if run.end is None else run.end.state,
        )


def _start_is_queued(run: Run) -> bool:
    """Tell whether cc-backend has queued the start, and perhaps stored it."""
    return run.last_error is not None and run.last_error.outcome == Outcome.CONFIRM

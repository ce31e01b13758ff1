"""Build requests from runs when they are sent; other runs wait, are excluded or move to dead/.

A temporarily incomplete start waits for topology and user name: a row cannot be corrected later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from ccbackend.version import ServerInfo
from spool.deliver.backend_health import BackendHealth
from spool.deliver.compose import PayloadComposer, UnsendableError
from spool.deliver.pending_changes import GROUP_SECONDS
from spool.deliver.pending_run import COMMENTS_CAUSE, PendingRun, RequestKind
from spool.deliver.rejected_runs import move_unsendable_to_dead
from spool.deliver.run_loader import AFTER_CRASHES, AFTER_CRASHES_SECONDS, READ_AGAIN_SECONDS
from spool.deliver.run_store import RunStore
from spool.deliver.senders import SendRequest
from spool.deliver.server_names import ServerNames
from spool.errors import BadFileError, NewerFormatError, internal_error
from spool.escaping import escape
from spool.files.run import Run
from spool.files.state_files import CrashMarker
from spool.moment import Moment

CLOCK_TOLERANCE_SECONDS = 300
CLOCK_CHECK_SECONDS = 10.0
MAX_CLOCK_WAIT_SECONDS = 60.0
TOPOLOGY_CHECK_SECONDS = 0.5
USER_CHECK_SECONDS = 5.0
OLD_COMMENTS_SECONDS = 60.0
COMMENTS_CHECK_SECONDS = 1.0
COMMENTS_PATIENCE_SECONDS = 5.0
_log = logging.getLogger(__name__)


class RequestBuilder:
    """The builder of requests to cc-backend from pending runs; used only in the loop's thread."""

    def __init__(
        self,
        store: RunStore,
        health: BackendHealth,
        composer: PayloadComposer,
        crash_marker: CrashMarker,
    ) -> None:
        self._store = store
        self._health = health
        self._composer = composer
        self.names = ServerNames(store.schedule, composer)
        self._crash_marker = crash_marker
        self.unreadable: dict[str, str] = {}
        self.on_missing_user: Callable[[Run, Moment], None] = lambda _run, _now: None
        """Queries the user's name of a run whose start waits for it."""
        self.on_old_comments: Callable[[int, Moment], None] = lambda _job_id, _now: None
        """Asks Slurm about a job whose start has waited: its user may have excluded it."""

    @property
    def can_add_texts(self) -> bool:
        """Return whether the server accepts texts after the start of a run."""
        return (self._health.server or ServerInfo()).edits_metadata

    def build(self, entry: PendingRun, now: Moment, *, is_trial: bool) -> SendRequest | None:
        """Return the request of a run in flight; None if it waits, is excluded or a dead letter."""
        if self._defer_if_in_future(entry, now):
            return None
        is_delete = entry.in_flight is RequestKind.DELETE
        if is_delete and (cause := self._store.delete_obstacle(entry.job_id)):
            self.defer(entry, cause, GROUP_SECONDS, now, stays_due=True)
            return None
        is_start = entry.in_flight is RequestKind.START
        if is_start and self.names.hosts.defers(entry, entry.host, now.steady):
            return None
        try:
            with self._crash_marker(entry.name):
                return self._request_or_none(entry, now, is_trial=is_trial)
        except OSError as error:  # its name cannot be written down, so the state directory is full
            # also at the end of the block: by then the run may be removed or put back
            if self._store.schedule.is_in_flight(entry):
                self._set_aside(entry, error.strerror or str(error), READ_AGAIN_SECONDS, now)
        return None

    def _request_or_none(
        self, entry: PendingRun, now: Moment, *, is_trial: bool
    ) -> SendRequest | None:
        try:
            return self._request_of(entry, now, is_trial=is_trial)
        except Exception as error:  # noqa: BLE001 - a border: one run in a pass; the others go on
            _log.exception(
                "no request can be made from %s: internal error of cc-slurm-sync (%r)",
                entry.name,
                error,
            )
            self._set_aside(entry, internal_error(error), AFTER_CRASHES_SECONDS, now)
        return None

    def _request_of(self, entry: PendingRun, now: Moment, *, is_trial: bool) -> SendRequest | None:
        run = self.load_run(entry, now)
        if run is None:
            return None
        cluster = self._composer.cluster(run)
        is_start = entry.in_flight is RequestKind.START
        if is_start and self._start_must_wait(entry, run, cluster, now):
            return None
        reason = None if run.cluster else self._composer.exclusion_reason(run)
        if reason is not None:
            self._exclude(entry, run, reason, now)
            return None
        if is_start:
            self.names.hosts.take_try(entry.host, now.steady)
            self.names.clusters.take_try(cluster, now.steady)
        try:
            return self._compose(entry, run, now, cluster=cluster, is_trial=is_trial)
        except UnsendableError as error:
            move_unsendable_to_dead(self._store, entry, run, str(error), now)
            return None

    def _start_must_wait(self, entry: PendingRun, run: Run, cluster: str, now: Moment) -> bool:
        """Defer a start that lacks data or whose cluster was refused; return whether it waits."""
        if self._composer.needs_user_name(run, now.wall - run.seen):
            self.on_missing_user(run, now)
            self.defer(entry, "Slurm does not show the user's name yet", USER_CHECK_SECONDS, now)
            return True
        if self._must_wait_for_topology(entry, run, now):
            cause = "cc-backend's topology cannot be read yet"
            self.defer(entry, cause, TOPOLOGY_CHECK_SECONDS, now)
            return True
        if self._must_read_comments(entry, run, now):
            self.defer(entry, COMMENTS_CAUSE, COMMENTS_CHECK_SECONDS, now, stays_due=True)
            return True
        return self.names.clusters.defers(entry, cluster, now.steady)

    def _must_read_comments(self, entry: PendingRun, run: Run, now: Moment) -> bool:
        """Query the job's comments again if a start has waited long; return whether it must wait.

        The opt-out flag is a promise about privacy. If Slurm does not answer, the start is sent.
        """
        if run.end is not None or now.wall - run.seen < OLD_COMMENTS_SECONDS:
            return False
        entry.comments_at = entry.comments_at or now.steady - OLD_COMMENTS_SECONDS
        age = now.steady - entry.comments_at
        if not OLD_COMMENTS_SECONDS <= age < OLD_COMMENTS_SECONDS + COMMENTS_PATIENCE_SECONDS:
            return False
        self.on_old_comments(entry.job_id, now)
        return True

    def _must_wait_for_topology(self, entry: PendingRun, run: Run, now: Moment) -> bool:
        """Return whether a start waits for a topology, or for one newer than its first attempt."""
        if self._composer.needs_topology(run):
            return self.names.topology.must_wait(now)
        if not self._composer.needs_newer_topology(run):
            return False
        entry.topology_wanted_at = entry.topology_wanted_at or now.steady
        return self.names.topology.is_older_than(entry.topology_wanted_at, now)

    def load_run(self, entry: PendingRun, now: Moment) -> Run | None:
        """Return an entry's run; None if its file is missing, invalid, or cannot be read now."""
        if self._crash_marker.is_poison(entry.name):
            self._set_aside(entry, AFTER_CRASHES, AFTER_CRASHES_SECONDS, now)
            return None
        try:
            with self._crash_marker(entry.name) if entry.in_memory is None else nullcontext():
                run = self._store.load_run(entry)
        except FileNotFoundError:  # it was removed, so there is nothing to deliver
            _log.warning("the run file %s was removed by another program", entry.name)
            self.unreadable.pop(entry.name, None)
            self._store.forget(entry, now)
        except BadFileError:
            self.unreadable.pop(entry.name, None)
            self._store.unload(entry, now)  # loading it again moves it to dead/
            self._store.get(entry.job_id, entry.start_time, now)
        except NewerFormatError as error:
            self._set_aside(entry, str(error), AFTER_CRASHES_SECONDS, now)
        except OSError as error:
            self._set_aside(entry, error.strerror or str(error), READ_AGAIN_SECONDS, now)
        else:
            self.unreadable.pop(entry.name, None)
            return run
        return None

    def defer(
        self, entry: PendingRun, cause: str, seconds: float, now: Moment, *, stays_due: bool = False
    ) -> None:
        """Put a run in flight back for some seconds; `stays_due`: it still counts as due."""
        entry.retry_at, entry.waits_for, entry.stays_due = now.steady + seconds, cause, stays_due
        self.put_back(entry, now)

    def put_back(self, entry: PendingRun, now: Moment) -> None:
        """Put a run whose request was not sent back into the schedule."""
        entry.in_flight = entry.read = None
        self._store.schedule.reschedule(entry.job_id, now.steady)

    def _set_aside(self, entry: PendingRun, reason: str, seconds: float, now: Moment) -> None:
        if self.unreadable.get(entry.name) != reason:
            _log.error("%s stays in the spool and is not sent: %s", entry.name, escape(reason))
        self.unreadable[entry.name] = reason
        self.defer(entry, reason, seconds, now)

    def _defer_if_in_future(self, entry: PendingRun, now: Moment) -> bool:
        """Defer a run whose start or end is in the future; return whether it was deferred.

        The clocks differ, or ours was set back. After a minute the run is sent in any case.
        """
        instant = entry.end_time if entry.in_flight is RequestKind.STOP else entry.start_time
        ahead = (instant or 0) - CLOCK_TOLERANCE_SECONDS - now.wall
        if ahead <= 0 or (entry.clock_wait_until and now.steady >= entry.clock_wait_until):
            return False
        cause = f"its {entry.in_flight} time is in the future; compare the clocks of the hosts"
        if not entry.clock_wait_until:
            entry.clock_wait_until = now.steady + MAX_CLOCK_WAIT_SECONDS
            _log.warning("job=%d start=%d: %s", entry.job_id, entry.start_time, cause)
        self.defer(entry, cause, min(ahead, CLOCK_CHECK_SECONDS), now)
        return True

    def _exclude(self, entry: PendingRun, run: Run, reason: str, now: Moment) -> None:
        """Keep an excluded run until its end, or remove it if it has ended."""
        entry.in_flight = None
        excluded = replace(run, reported=False, reason=reason)
        _log.info("job=%d start=%d excluded: %s", run.job_id, run.start_time, escape(reason))
        if run.end is None:
            self._store.persist(entry, excluded, now)
        else:
            self._store.complete(entry, excluded, now)

    def _next_text(self, entry: PendingRun, run: Run, now: Moment) -> Mapping[str, Any] | None:
        """Return the body that adds the next late text; if no text is left, put the run back.

        A server before 1.5.0 cannot add texts: then they are dropped.
        """
        if self._health.server is not None and not self.can_add_texts:
            entry.new_texts = ()
        while entry.new_texts:
            document = self._composer.edit_document(run, entry.new_texts[0])
            if document is not None:
                return document
            entry.new_texts = entry.new_texts[1:]
        self._store.persist(entry, replace(run, late_texts=()), now)
        self.put_back(entry, now)
        return None

    def _compose(
        self, entry: PendingRun, run: Run, now: Moment, *, cluster: str, is_trial: bool
    ) -> SendRequest | None:
        kind = entry.in_flight or RequestKind.START
        server = self._health.server or ServerInfo()
        entry.is_slim &= now.steady <= entry.slim_until or kind is RequestKind.EDIT_META
        document = (
            self._next_text(entry, run, now)
            if kind is RequestKind.EDIT_META
            else self._composer.document(run, kind, server, is_slim=entry.is_slim)
        )
        if document is None:
            return None
        return SendRequest(
            kind=kind,
            job_id=entry.job_id,
            start_time=entry.start_time,
            cluster=cluster,
            document=document,
            is_trial=is_trial or bool(entry.topology_wanted_at),
            maybe_sent=entry.maybe_sent(run, server),
            state=None if run.end is None else run.end.state,
            edits=self._composer.end_edits(run, kind, server),
        )

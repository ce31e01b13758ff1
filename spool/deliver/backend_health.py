"""What is believed of cc-backend as a whole: health, version, what may go out now.

Log once: an outage is one line at its beginning and one with duration and count at its end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ccbackend.classify import Outcome, Reason, ReplyVerdict
from ccbackend.version import ServerInfo
from spool.deliver.destination import Destination, Health
from spool.escaping import escape

VERSION_CHECK_SECONDS = 3600.0
_INCONCLUSIVE = frozenset({Reason.PANIC, Reason.UNEXPECTED, Reason.QUERY_FAILED})
_log = logging.getLogger(__name__)


class BackendHealth:
    """The drain's belief about cc-backend. Times are Unix seconds.

    `generation` numbers what is handed to the senders between two failures; `accepted` counts
    answers to requests about runs that show cc-backend at work.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self.destination = Destination()
        self.server: ServerInfo | None = None
        self.generation = 0
        self.accepted = 0
        self._random = random
        self._version_due_at = 0.0

    @property
    def is_up(self) -> bool:
        """Tell whether requests for runs may flow freely."""
        return self.destination.is_up and self.server is not None

    def needs_version(self, now: float) -> bool:
        """Tell whether the server's version is to be asked before anything else is sent."""
        return self.destination.is_up and (self.server is None or now >= self._version_due_at)

    def hold_seconds(self, configured: float) -> float:
        """Return how long a stop waits after its start was accepted."""
        return configured if self.server is None or self.server.caches_starts else 0.0

    def record(
        self,
        verdict: ReplyVerdict,
        now: float,
        *,
        only_this_run: bool = False,
        retry_after: float | None = None,
        generation: int | None = None,
        is_bare: bool = False,
    ) -> None:
        """Take in what an answer says about cc-backend itself.

        `only_this_run`: only this run fails, others pass; then it is no outage. `retry_after`
        (seconds) is the server's own wish. `generation` is that of the request: one handed out
        before the last failure ends no outage and no halt. `is_bare`: the request was about no run,
        so its success does not show that runs are accepted.
        """
        if verdict.outcome is Outcome.HALT:
            self._record_halt(verdict, now)
        elif verdict.outcome is Outcome.RETRY:
            if only_this_run:
                self.start_generation()  # the sender holds back what was handed out with it
            else:
                self._record_failure(verdict, now, retry_after)
        elif verdict.reason not in _INCONCLUSIVE:
            self.accepted += not is_bare
            self._record_success(
                now, is_stale=generation is not None and generation < self.generation
            )
        elif not self.destination.is_up:
            self._record_failure(verdict, now, retry_after)

    def start_generation(self) -> None:
        """Let flow what the senders hold back since an answer that turned out to stop nobody."""
        self.generation += 1

    def probed(self, server: ServerInfo | None, now: float) -> None:
        """Take in the answer to a probe."""
        self._version_due_at = now + VERSION_CHECK_SECONDS
        if server is not None:
            self._set_server(server)

    def version_seen(self, server: ServerInfo | None) -> None:
        """Take in which server gave an answer, None if it did not show.

        It may be another one than before: upgraded while a connection was lost. Or it refused our
        dialect: then the version known was wrong, and is asked for at once.
        """
        if server is None or self.server is None or server == self.server:
            return
        self._set_server(server)
        if server.version is None:
            self._version_due_at = 0.0

    def cause_changed(self, now: float) -> None:
        """Allow a probe at once: token, configuration or an operator's word changed."""
        self.destination = self.destination.cause_changed(now)

    def _set_server(self, server: ServerInfo) -> None:
        if server != self.server:
            version = server.version or "of unknown version"
            _log.info("cc-backend %s, dialect %s", version, server.dialect)
        self.server = server

    def _record_success(self, now: float, *, is_stale: bool) -> None:
        if self.destination.is_up or is_stale:
            return
        old = self.destination
        seconds, tries = now - old.since, old.failures
        _log.info("cc-backend answers again after %.0f s and %d tries", seconds, tries)
        self.destination = old.succeeded(now)
        self._version_due_at = 0.0  # it may be another release now

    def _record_failure(self, verdict: ReplyVerdict, now: float, retry_after: float | None) -> None:
        if self.destination.health is not Health.DOWN:
            _log.warning("cc-backend is down: %s", _reason_text(verdict))
        self.generation += 1
        reason = _reason_text(verdict)
        self.destination = self.destination.failed(
            now, reason, random=self._random(), retry_after=retry_after
        )

    def _record_halt(self, verdict: ReplyVerdict, now: float) -> None:
        if self.destination.health is not Health.HALTED:
            _log.error("deliveries are halted: %s", _reason_text(verdict))
        self.generation += 1
        self.destination = self.destination.halted(now, _reason_text(verdict))


def _reason_text(verdict: ReplyVerdict) -> str:
    """Return hint and the server's own words."""
    said = escape(verdict.message)
    return f"{verdict.hint} ({said})" if said else verdict.hint

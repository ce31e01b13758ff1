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

PROBE_SECONDS = 3600.0
_UNPROVEN = frozenset({Reason.PANIC, Reason.UNEXPECTED, Reason.QUERY_FAILED})
_log = logging.getLogger(__name__)


class Link:
    """The drain's belief about cc-backend. Times are Unix seconds.

    `wave` numbers what is handed to the senders between two failures; `accepted` counts answers
    to requests about runs that show cc-backend at work.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self.destination = Destination()
        self.server: ServerInfo | None = None
        self.wave = 0
        self.accepted = 0
        self._random = random
        self._version_at = 0.0

    @property
    def is_up(self) -> bool:
        """Tell whether requests for runs may flow freely."""
        return self.destination.is_up and self.server is not None

    def wants_version(self, now: float) -> bool:
        """Tell whether the server's version is to be asked before anything else is sent."""
        return self.destination.is_up and (self.server is None or now >= self._version_at)

    def hold_seconds(self, configured: float) -> float:
        """Return how long a stop waits after its start was accepted."""
        return configured if self.server is None or self.server.caches_starts else 0.0

    def note(
        self,
        verdict: ReplyVerdict,
        now: float,
        *,
        alone: bool = False,
        retry_after: float | None = None,
        wave: int | None = None,
        is_bare: bool = False,
    ) -> None:
        """Take in what an answer says about cc-backend itself.

        `alone`: only this run fails, others pass; then it is no outage. `retry_after` (seconds) is
        the server's own wish. `wave` is that of the request: one handed out before the last failure
        ends no outage and no halt. `is_bare`: the request was about no run, so its success does not
        show that runs are accepted.
        """
        if verdict.outcome is Outcome.HALT:
            self._halted(verdict, now)
        elif verdict.outcome is Outcome.RETRY:
            if alone:
                self.go_on()  # the sender holds back what was handed out with it
            else:
                self._failed(verdict, now, retry_after)
        elif verdict.reason not in _UNPROVEN:
            self.accepted += not is_bare
            self._passed(now, is_stale=wave is not None and wave < self.wave)
        elif not self.destination.is_up:
            self._failed(verdict, now, retry_after)

    def go_on(self) -> None:
        """Let flow what the senders hold back since an answer that turned out to stop nobody."""
        self.wave += 1

    def found(self, server: ServerInfo | None, now: float) -> None:
        """Take in the answer to a probe."""
        self._version_at = now + PROBE_SECONDS
        if server is not None:
            self._learn(server)

    def noticed(self, server: ServerInfo | None) -> None:
        """Take in which server gave an answer, None if it did not show.

        It may be another one than before: upgraded while a connection was lost. Or it refused our
        dialect: then the version known was wrong, and is asked for at once.
        """
        if server is None or self.server is None or server == self.server:
            return
        self._learn(server)
        if server.version is None:
            self._version_at = 0.0

    def cause_changed(self, now: float) -> None:
        """Allow a probe at once: token, configuration or an operator's word changed."""
        self.destination = self.destination.cause_changed(now)

    def _learn(self, server: ServerInfo) -> None:
        if server != self.server:
            version = server.version or "of unknown version"
            _log.info("cc-backend %s, dialect %s", version, server.dialect)
        self.server = server

    def _passed(self, now: float, *, is_stale: bool) -> None:
        if self.destination.is_up or is_stale:
            return
        old = self.destination
        seconds, tries = now - old.since, old.failures
        _log.info("cc-backend answers again after %.0f s and %d tries", seconds, tries)
        self.destination = old.succeeded(now)
        self._version_at = 0.0  # it may be another release now

    def _failed(self, verdict: ReplyVerdict, now: float, retry_after: float | None) -> None:
        if self.destination.health is not Health.DOWN:
            _log.warning("cc-backend is down: %s", _words(verdict))
        self.wave += 1
        reason = _words(verdict)
        self.destination = self.destination.failed(
            now, reason, random=self._random(), retry_after=retry_after
        )

    def _halted(self, verdict: ReplyVerdict, now: float) -> None:
        if self.destination.health is not Health.HALTED:
            _log.error("deliveries are halted: %s", _words(verdict))
        self.wave += 1
        self.destination = self.destination.halted(now, _words(verdict))


def _words(verdict: ReplyVerdict) -> str:
    """Return hint and the server's own words."""
    said = escape(verdict.message)
    return f"{verdict.hint} ({said})" if said else verdict.hint

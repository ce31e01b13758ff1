"""Track the health and the version of cc-backend, and log its outages.

`health_rules.observe`, a pure function, makes the decisions. This module logs one line when an
outage begins and one when it ends, and stores the version, which decides the form of requests.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from dataclasses import replace

from ccbackend.outcomes import Reason, ReplyVerdict
from ccbackend.version import ServerInfo
from spool.deliver.health_rules import (
    BackendState,
    CauseChanged,
    Channel,
    Condition,
    Observation,
    ProbeAnswered,
    RunAnswered,
    Sign,
    observe,
    sign_of,
)
from spool.escaping import escape
from spool.files.drain_state import HealthState
from spool.moment import Moment

VERSION_CHECK_SECONDS = 3600.0
SILENT_RETRY_SECONDS = 2.0  # the wait for an answer was a minute already
LOCAL_RETRY_SECONDS = 5.0  # our own token file: checking it again costs the server nothing
_QUICK_RETRIES = {
    Reason.TOKEN_UNREADABLE: LOCAL_RETRY_SECONDS,
    Reason.TIMED_OUT: SILENT_RETRY_SECONDS,
}
_log = logging.getLogger(__name__)


class BackendHealth:
    """The health and the version of cc-backend; used only in the loop's thread."""

    def __init__(self, random: Callable[[], float]) -> None:
        self.state = BackendState()
        self.server: ServerInfo | None = None
        self._random = random
        self._version_due_at = float("-inf")

    @property
    def is_up(self) -> bool:
        """Return whether requests for runs may be sent: the server is up and its version known."""
        return self.state.server.is_up and self.server is not None

    def probe_is_due(self, now: Moment) -> bool:
        """Return whether a probe is due, after a failure or to read the version."""
        if self.state.probe_is_due(now.steady):
            return True
        is_unknown = self.server is None or now.steady >= self._version_due_at
        return self.state.server.is_up and is_unknown

    def hold_seconds(self, configured: float) -> float:
        """Return how long a stop waits after its start was accepted."""
        # A server of unknown version may have the job cache: a stop that comes too late is
        # harmless, one that comes too early is not.
        return configured if self.server is None or self.server.caches_starts else 0.0

    def run_answered(
        self,
        channel: Channel,
        run: Hashable,
        verdict: ReplyVerdict,
        now: Moment,
        *,
        accepted_before: int | None,
        is_blamed: bool,
    ) -> bool:
        """Record the answer to a request for a run; return whether the run caused the failure."""
        answer = RunAnswered(
            channel=channel,
            run=run,
            sign=sign_of(verdict),
            reason=reason_text(verdict),
            code=verdict.reason.name.lower(),
            accepted_before=accepted_before,
            is_blamed=is_blamed,
        )
        # Before `_observe`, because this answer must not count as that of another run.
        to_blame = self.state.is_to_blame(answer)
        self._observe(answer, now)
        return to_blame

    def probed(
        self, verdict: ReplyVerdict, server: ServerInfo, now: Moment, *, retry_after: float | None
    ) -> None:
        """Record the answer to a probe."""
        # Also after a failed probe: an outage is retried by its own delay, not by that of the
        # version.
        self._version_due_at = now.steady + VERSION_CHECK_SECONDS
        sign = sign_of(verdict)
        # A proxy that answers in place of the server says nothing about its version, so the known
        # one stays.
        if sign is Sign.ANSWERED or server.version is not None:
            self._set_server(server)
        self._observe(
            ProbeAnswered(
                sign=sign,
                reason=reason_text(verdict),
                code=verdict.reason.name.lower(),
                retry_after_seconds=retry_after,
                delay_seconds=_QUICK_RETRIES.get(verdict.reason),
            ),
            now,
        )

    def server_seen(self, server: ServerInfo, now: Moment) -> None:
        """Record the version of the server that answered: it may have been upgraded meanwhile.

        If it refused our dialect, the known version was wrong, and it is read again at once.
        """
        if self.server is None or server == self.server:
            return
        # Our dialect was rejected, so the version that we knew is not the right one any more.
        if server.version is None:
            self._version_due_at = now.steady
        self._set_server(server)

    def query_answered(self, verdict: ReplyVerdict) -> None:
        """Make a probe due if a query was refused; the query itself does not halt deliveries."""
        # A query of a list or topology must not halt all deliveries by itself: a proxy may refuse
        # that path alone.
        if sign_of(verdict) is Sign.HALTED:
            self.state = replace(self.state, probe_wanted=True)

    def cause_changed(self, now: Moment) -> None:
        """Allow the next try at once, after a change of token or configuration or a command."""
        self._observe(CauseChanged(), now)

    def _set_server(self, server: ServerInfo) -> None:
        if server != self.server:
            version = server.version or "of unknown version"
            _log.info("cc-backend %s (API field for node sharing: '%s')", version, server.dialect)
        self.server = server

    def _observe(self, observation: Observation, now: Moment) -> None:
        old = self.state
        self.state = observe(old, observation, now.steady, random=self._random())
        _log_change("cc-backend", old.server, self.state.server, now)
        if old.server.health is not HealthState.UP and self.state.server.is_up:
            self._version_due_at = now.steady  # it may have been upgraded
        for channel, each in self.state.channels.items():
            _log_change(channel, old.channels[channel].condition, each.condition, now)


def _log_change(name: str, old: Condition, new: Condition, now: Moment) -> None:
    """Log an outage once when it begins and once when it ends."""
    if new.health is old.health:
        return
    if new.health is HealthState.HALTED:
        _log.error("deliveries are halted (%s): %s", name, new.reason)
    elif new.health is HealthState.DOWN:
        _log.warning("requests fail (%s): %s", name, new.reason)
    else:
        seconds = now.steady - old.since
        text = "requests succeed again (%s) after %.0f s (failed requests: %d)"
        _log.info(text, name, seconds, old.failures)


def reason_text(verdict: ReplyVerdict) -> str:
    """Return the hint of a verdict, with the server's message in parentheses."""
    said = escape(verdict.message)
    return f"{verdict.hint} ({said})" if said else verdict.hint

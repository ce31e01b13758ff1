"""The health of cc-backend: a pure state machine, (state, observation) → state.

Whether the run or the server has caused a failed request is decided by other requests (one that
cc-backend itself rejects counts as accepted):

- the *server* fails when a neutral request (the probe) fails;
- a *channel* (starts, or stops) fails when two different runs fail in it and none is accepted in
  between, although the probe succeeds; then single runs are tried until one is accepted;
- a *run* is to blame when it fails again after another run of its channel was accepted.

Until then no failed attempt is counted for a run. The same rule holds for retryable, unknown and
halting answers. All times are seconds of the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import field, replace
from enum import StrEnum

from ccbackend.outcomes import Outcome, Reason, ReplyVerdict
from slurm.light_dataclass import light_dataclass
from spool.backoff import spread_backoff
from spool.files.drain_state import HealthState

# A probe takes a random part of d/2 to d, d doubling to a minute: an outage of ten minutes costs
# about 19 probes for 5000 waiting runs, a timer in each run 30 000 requests or more (simulated).
# While a channel fails the server itself answers: good runs behind bad ones must not wait long. A
# server that refuses everything is probed each minute: one small request, and its repair is noticed
# soon.
MAX_DELAY_SECONDS = 60.0
MAX_CHANNEL_DELAY_SECONDS = 5.0
HALT_PROBE_SECONDS = 60.0
HALT_TRIAL_SECONDS = 30.0
MAX_RETRY_AFTER_SECONDS = 15 * 60.0
# no known server sends these on purpose; a proxy may send an empty 500, which is read as NO_TOKENS
_UNKNOWN_ANSWERS = frozenset(
    {Reason.PANIC, Reason.UNEXPECTED, Reason.QUERY_FAILED, Reason.NO_TOKENS}
)


class Channel(StrEnum):
    """The kinds of requests that may fail separately; each has its own connections."""

    # cc-backend queues 128 stopped jobs for its archiver. When this queue is full, stops hang,
    # while lists are answered and, up to 1.4.4, starts too.
    STARTS = "starts"
    STOPS = "stops"


class Sign(StrEnum):
    """What an answer says about the health of the server."""

    ANSWERED = "answered"  # cc-backend answered: it accepted the request or rejected it
    FAILED = "failed"  # no answer, an error page, or an error that no known server sends
    HALTED = "halted"  # refused before cc-backend read the request: token, URL, address


def sign_of(verdict: ReplyVerdict) -> Sign:
    """Return what an answer says about the health of the server."""
    if verdict.outcome is Outcome.RETRY or verdict.reason in _UNKNOWN_ANSWERS:
        return Sign.FAILED
    return Sign.HALTED if verdict.outcome is Outcome.HALT else Sign.ANSWERED


@light_dataclass
class Condition:
    """The health of the server or of a channel.

    `since` is when this health began; `reason` and `code` (the reason in one word) say why.
    `failures` counts the failed tries since then; `retry_at` is when the next try may be made.
    """

    health: HealthState = HealthState.UP
    since: float = 0.0
    reason: str = ""
    code: str = ""
    failures: int = 0
    retry_at: float = 0.0

    @property
    def is_up(self) -> bool:
        """Return whether requests may be sent freely."""
        return self.health is HealthState.UP


@light_dataclass
class RunAnswered:
    """An answer to a request for a run.

    `accepted_before`: the number of accepted requests of the channel when this run last failed;
    None if it has not failed. `is_blamed`: the run is known to fail alone, so its failures say
    nothing about the server.
    """

    channel: Channel
    run: Hashable
    sign: Sign
    reason: str = ""
    code: str = ""
    accepted_before: int | None = None
    is_blamed: bool = False


@light_dataclass
class ProbeAnswered:
    """An answer to the probe.

    `retry_after_seconds` is the server's Retry-After, a minimum; `delay_seconds` replaces the usual
    delay.
    """

    sign: Sign
    reason: str = ""
    code: str = ""
    retry_after_seconds: float | None = None
    delay_seconds: float | None = None


@light_dataclass
class CauseChanged:
    """A change of token or configuration, or a command: the cause may be repaired."""


Observation = RunAnswered | ProbeAnswered | CauseChanged


@light_dataclass
class ChannelState:
    """A channel's condition, its number of accepted requests, and the runs that failed since."""

    condition: Condition = Condition()
    accepted: int = 0
    suspects: frozenset[Hashable] = frozenset()


@light_dataclass
class BackendState:
    """The health of the server and its channels. `probe_wanted`: a failed request needs a probe."""

    server: Condition = Condition()
    channels: dict[Channel, ChannelState] = field(
        default_factory=lambda: {channel: ChannelState() for channel in Channel}
    )
    probe_wanted: bool = False

    def probe_is_due(self, now: float) -> bool:
        """Return whether the probe may be sent now."""
        return self.probe_wanted or (not self.server.is_up and now >= self.server.retry_at)

    def is_to_blame(self, answer: RunAnswered) -> bool:
        """Return whether the run caused the failure, because others were accepted meanwhile."""
        accepted = self.channels[answer.channel].accepted
        before = answer.accepted_before
        # Another run was accepted after this run had failed, and now it fails again: the channel
        # works, so the run must be the cause. Otherwise the channel may be.
        return answer.sign is not Sign.ANSWERED and before is not None and accepted > before


def observe(
    state: BackendState, observation: Observation, now: float, *, random: float
) -> BackendState:
    """Return the state after an observation; `random` in [0, 1) spreads the delays."""
    match observation:
        case RunAnswered(sign=Sign.ANSWERED):
            return _run_accepted(state, observation, now)
        case RunAnswered():
            return _run_failed(state, observation, now, random)
        case ProbeAnswered():
            return _probed(state, observation, now, random)
        case _:
            return _cause_changed(state, now)


def _run_accepted(state: BackendState, answer: RunAnswered, now: float) -> BackendState:
    """Return the state after cc-backend answered a request: server and channel are up."""
    old = state.channels[answer.channel]
    condition = old.condition if old.condition.is_up else Condition(since=now)
    # the new state has no suspects: what failed before the channel worked proves nothing any more
    new = ChannelState(condition=condition, accepted=old.accepted + 1)
    # An accepted request is better evidence than a probe that failed before it.
    server = state.server if state.server.is_up else Condition(since=now)
    return replace(state, server=server, channels=state.channels | {answer.channel: new})


def _run_failed(
    state: BackendState, answer: RunAnswered, now: float, random: float
) -> BackendState:
    """Return the state after a failed request; the channel fails when a second run has failed."""
    old = state.channels[answer.channel]
    # the run is at fault, so its failure says nothing about the server
    if answer.is_blamed or state.is_to_blame(answer):
        return state
    # A set of runs, not a count of failures: one bad run that fails ten times must not stop the
    # channel for all others.
    suspects = old.suspects | {answer.run}
    condition = old.condition
    # One run may be bad. If two different runs fail and none is accepted in between, the channel is
    # down and only trials are sent. A trial that fails while it is down extends the outage.
    if len(suspects) > 1 or not condition.is_up:
        longest = HALT_TRIAL_SECONDS if answer.sign is Sign.HALTED else MAX_CHANNEL_DELAY_SECONDS
        condition = _outage(condition, answer.sign, now)
        delay = spread_backoff(condition.failures, longest, random)
        condition = _failed(condition, now, answer, delay=delay)
    new = replace(old, condition=condition, suspects=suspects)
    # a third suspect needs no further probe, which would double the load during an outage
    wanted = state.server.is_up and len(suspects) <= 2  # noqa: PLR2004 - first and second failure
    return replace(
        state,
        channels=state.channels | {answer.channel: new},
        probe_wanted=state.probe_wanted or wanted,
    )


def _probed(state: BackendState, answer: ProbeAnswered, now: float, random: float) -> BackendState:
    """Return the state after a probe: it decides about the server, never about a channel."""
    state = replace(state, probe_wanted=False)
    if answer.sign is Sign.ANSWERED:
        # the server is up again, so the channels need not wait for the end of their delays
        if state.server.is_up:
            return state
        return _cause_changed(replace(state, server=Condition(since=now)), now)
    outage = _outage(state.server, answer.sign, now)
    # A known delay comes first: our own token file can be read again at no cost, and after a
    # timeout the wait was long enough already.
    if answer.delay_seconds is not None:
        delay = answer.delay_seconds
    elif answer.sign is Sign.HALTED:
        delay = HALT_PROBE_SECONDS  # an administrator must act, so frequent probes are useless
    else:
        delay = spread_backoff(outage.failures, MAX_DELAY_SECONDS, random)
    # Retry-After may only lengthen the delay, and not without limit: a wrong header of a proxy
    # would otherwise stop deliveries for a day.
    wish = min(answer.retry_after_seconds or 0.0, MAX_RETRY_AFTER_SECONDS)
    return replace(state, server=_failed(outage, now, answer, delay=max(delay, wish)))


def _cause_changed(state: BackendState, now: float) -> BackendState:
    """Return the state in which server and channels may be tried at once."""
    channels = {
        channel: replace(each, condition=_at_once(each.condition, now))
        for channel, each in state.channels.items()
    }
    return replace(state, server=_at_once(state.server, now), channels=channels)


def _at_once(condition: Condition, now: float) -> Condition:
    # The outage itself goes on, with its beginning and its number of failures: only an answer ends
    # it, and the log shows its whole duration.
    return condition if condition.is_up else replace(condition, retry_at=now)


def _outage(condition: Condition, sign: Sign, now: float) -> Condition:
    """Return the outage that a failed try belongs to.

    A change from down to halted, or back, is a new outage with its own beginning and backoff.
    """
    health = HealthState.HALTED if sign is Sign.HALTED else HealthState.DOWN
    return condition if condition.health is health else Condition(health=health, since=now)


def _failed(
    outage: Condition, now: float, answer: RunAnswered | ProbeAnswered, *, delay: float
) -> Condition:
    """Return an outage after one more failed try."""
    return replace(
        outage,
        reason=answer.reason,
        code=answer.code,
        failures=outage.failures + 1,
        retry_at=now + delay,
    )

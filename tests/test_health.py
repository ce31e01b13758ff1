"""Who is to blame for a failed request: the server, a channel, or the run itself."""

from __future__ import annotations

from functools import reduce

import pytest

from spool.backoff import spread_backoff
from spool.deliver.health_rules import (
    HALT_PROBE_SECONDS,
    HALT_TRIAL_SECONDS,
    MAX_CHANNEL_DELAY_SECONDS,
    MAX_DELAY_SECONDS,
    BackendState,
    CauseChanged,
    Channel,
    Condition,
    Observation,
    ProbeAnswered,
    RunAnswered,
    Sign,
    observe,
)
from spool.files.drain_state import HealthState

NOW = 1000.0


def answered(
    run: int,
    sign: Sign,
    *,
    channel: Channel = Channel.STARTS,
    accepted_before: int | None = None,
    is_blamed: bool = False,
) -> RunAnswered:
    """Return the answer to a request for a run."""
    return RunAnswered(
        channel=channel,
        run=run,
        sign=sign,
        reason=f"run {run}: {sign}",
        accepted_before=accepted_before,
        is_blamed=is_blamed,
    )


def after(*observations: Observation, now: float = NOW) -> BackendState:
    """Return the state after some observations at one moment."""

    def follow(state: BackendState, observation: Observation) -> BackendState:
        return observe(state, observation, now, random=0.0)

    return reduce(follow, observations, BackendState())


def starts(state: BackendState) -> Condition:
    """Return the condition of the channel for starts."""
    return state.channels[Channel.STARTS].condition


@pytest.mark.parametrize("sign", [Sign.FAILED, Sign.HALTED])
def test_one_failed_run_asks_for_the_probe_and_changes_nothing_else(sign: Sign) -> None:
    """It may be the run, the channel or the server."""
    state = after(answered(1, sign))

    assert (True, True, True) == (state.probe_wanted, state.server.is_up, starts(state).is_up)
    assert state.probe_is_due(NOW)


@pytest.mark.parametrize(
    ("sign", "health", "delay"),
    [(Sign.FAILED, HealthState.DOWN, 0.5), (Sign.HALTED, HealthState.HALTED, HALT_PROBE_SECONDS)],
)
def test_a_failed_probe_makes_it_the_server(sign: Sign, health: HealthState, delay: float) -> None:
    """Then one probe after the other, and nothing else, is sent."""
    state = after(answered(1, Sign.FAILED), ProbeAnswered(sign=sign, reason="gone"))

    assert (health, NOW, "gone", 1) == (
        state.server.health,
        state.server.since,
        state.server.reason,
        state.server.failures,
    )
    assert (False, False, True) == (
        state.probe_wanted,
        state.probe_is_due(NOW + delay - 0.01),
        state.probe_is_due(NOW + delay),
    )


def test_the_reason_shown_is_the_last_one() -> None:
    """A token that was missing may be wrong now."""
    state = after(
        ProbeAnswered(sign=Sign.HALTED, reason="no token"),
        ProbeAnswered(sign=Sign.HALTED, reason="token refused"),
    )

    assert ("token refused", 2) == (state.server.reason, state.server.failures)


def test_the_server_may_ask_for_a_longer_wait() -> None:
    """Retry-After is a minimum, up to a quarter of an hour."""
    asked = ProbeAnswered(sign=Sign.FAILED, retry_after_seconds=100.0)
    greedy = ProbeAnswered(sign=Sign.FAILED, retry_after_seconds=1e6)

    assert [NOW + 100, NOW + 900] == [after(each).server.retry_at for each in (asked, greedy)]


def test_a_probe_may_have_its_own_delay() -> None:
    """Our own token file costs the server nothing."""
    local = ProbeAnswered(sign=Sign.HALTED, delay_seconds=5.0)

    assert NOW + 5 == after(local).server.retry_at


def test_a_second_failing_run_makes_it_the_channel() -> None:
    """The probe succeeds, yet two different runs fail: all requests of this kind may."""
    state = after(
        answered(1, Sign.FAILED), ProbeAnswered(sign=Sign.ANSWERED), answered(2, Sign.FAILED)
    )

    assert (HealthState.DOWN, "run 2: failed") == (starts(state).health, starts(state).reason)
    assert state.channels[Channel.STOPS].condition.is_up
    assert state.server.is_up


def test_one_run_that_fails_again_and_again_is_not_a_channel() -> None:
    """It needs a second, different witness."""
    assert starts(after(*[answered(1, Sign.FAILED)] * 5)).is_up


def test_a_run_known_to_fail_alone_is_no_witness() -> None:
    """Two poisoned runs do not stop the others."""
    known = answered(2, Sign.FAILED, is_blamed=True)

    assert starts(after(answered(1, Sign.FAILED), known)).is_up


def test_an_accepted_run_clears_the_suspects() -> None:
    """The failures before and after it have nothing in common."""
    state = after(answered(1, Sign.FAILED), answered(3, Sign.ANSWERED), answered(2, Sign.FAILED))

    assert starts(state).is_up


@pytest.mark.parametrize(
    ("sign", "longest"),
    [(Sign.FAILED, MAX_CHANNEL_DELAY_SECONDS), (Sign.HALTED, HALT_TRIAL_SECONDS)],
)
def test_a_failing_channel_is_tried_again_soon(sign: Sign, longest: float) -> None:
    """The server is up: good runs behind bad ones must not wait for long."""
    state = after(*[answered(run, sign) for run in range(20)])

    assert NOW + longest / 2 == starts(state).retry_at


def test_an_accepted_run_ends_every_outage() -> None:
    """Server and channel take requests again, since now."""
    down: tuple[Observation, ...] = (
        *[answered(run, Sign.FAILED) for run in (1, 2)],
        ProbeAnswered(sign=Sign.FAILED),
        answered(3, Sign.ANSWERED),
    )

    state = after(*down)

    assert (HealthState.UP, HealthState.UP) == (state.server.health, starts(state).health)
    assert (NOW, 1) == (state.server.since, state.channels[Channel.STARTS].accepted)


def test_a_good_probe_lets_failing_channels_be_tried_at_once() -> None:
    """What kept the server away may have been their trouble, too."""
    down = after(*[answered(run, Sign.FAILED) for run in (1, 2)], ProbeAnswered(sign=Sign.FAILED))

    state = observe(down, ProbeAnswered(sign=Sign.ANSWERED), NOW + 0.1, random=0.0)

    assert (True, NOW + 0.1) == (state.server.is_up, starts(state).retry_at)


def test_a_good_probe_of_a_server_that_is_up_changes_nothing() -> None:
    """The hourly look at the version."""
    assert BackendState() == after(ProbeAnswered(sign=Sign.ANSWERED))


def test_a_changed_cause_allows_the_next_try_at_once() -> None:
    """Another token, another configuration, an administrator's word."""
    halted = after(ProbeAnswered(sign=Sign.HALTED))

    assert observe(halted, CauseChanged(), NOW + 1, random=0.0).probe_is_due(NOW + 1)


@pytest.mark.parametrize(
    ("accepted_before", "sign", "expected"),
    [(None, Sign.FAILED, False), (1, Sign.FAILED, False), (0, Sign.FAILED, True),
     (0, Sign.HALTED, True), (0, Sign.ANSWERED, False)],
)  # fmt: skip
def test_blame_needs_a_witness(accepted_before: int | None, sign: Sign, *, expected: bool) -> None:
    """A run is to blame when another one was accepted since it failed before."""
    state = after(answered(2, Sign.ANSWERED))

    assert expected is state.is_to_blame(answered(1, sign, accepted_before=accepted_before))


def test_the_failure_of_a_run_to_blame_says_nothing_of_the_server() -> None:
    """Others are accepted: no probe, no suspicion."""
    state = after(answered(2, Sign.ANSWERED), answered(1, Sign.FAILED, accepted_before=0))

    assert (False, frozenset()) == (state.probe_wanted, state.channels[Channel.STARTS].suspects)


def test_channels_fail_alone() -> None:
    """A stop that cannot be sent holds back no start."""
    state = after(*[answered(run, Sign.FAILED, channel=Channel.STOPS) for run in (1, 2)])

    stops = state.channels[Channel.STOPS].condition
    assert (True, HealthState.DOWN) == (starts(state).is_up, stops.health)


@pytest.mark.parametrize(
    ("failures", "random", "expected"),
    [(0, 0.0, 0.5), (0, 1.0, 1.0), (3, 0.0, 4.0), (6, 0.0, 30.0), (99, 1.0, 60.0)],
)
def test_delays_grow_and_are_spread(failures: int, random: float, expected: float) -> None:
    """Between half of 2ⁿ seconds and all of it, at most a minute."""
    assert expected == spread_backoff(failures, MAX_DELAY_SECONDS, random)

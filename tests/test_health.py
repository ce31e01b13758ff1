"""The cause of a failed request: the server, a channel, or the run itself."""

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
    """Return the state after some observations at one time."""

    def follow(state: BackendState, observation: Observation) -> BackendState:
        return observe(state, observation, now, random=0.0)

    return reduce(follow, observations, BackendState())


def starts(state: BackendState) -> Condition:
    """Return the condition of the channel for starts."""
    return state.channels[Channel.STARTS].condition


@pytest.mark.parametrize("sign", [Sign.FAILED, Sign.HALTED])
def test_one_failed_run_requests_a_probe_and_changes_nothing_else(sign: Sign) -> None:
    """After one failure cc-backend still counts as up: the run itself may be the cause."""
    state = after(answered(1, sign))

    assert (True, True, True) == (state.probe_wanted, state.server.is_up, starts(state).is_up)
    assert state.probe_is_due(NOW)


@pytest.mark.parametrize(
    ("sign", "health", "delay"),
    [(Sign.FAILED, HealthState.DOWN, 0.5), (Sign.HALTED, HealthState.HALTED, HALT_PROBE_SECONDS)],
)
def test_a_failed_probe_marks_server_down(sign: Sign, health: HealthState, delay: float) -> None:
    """The next probe is due after 0.5 s, or after 60 s if deliveries are halted."""
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


def test_the_reason_of_the_last_failed_probe_is_shown() -> None:
    """For example the token was missing before and is refused now."""
    state = after(
        ProbeAnswered(sign=Sign.HALTED, reason="no token"),
        ProbeAnswered(sign=Sign.HALTED, reason="token refused"),
    )

    assert ("token refused", 2) == (state.server.reason, state.server.failures)


def test_retry_after_delays_the_next_probe() -> None:
    """`Retry-After: 100` delays the probe by 100 s; more than 15 minutes count as 15 minutes."""
    asked = ProbeAnswered(sign=Sign.FAILED, retry_after_seconds=100.0)
    greedy = ProbeAnswered(sign=Sign.FAILED, retry_after_seconds=1e6)

    assert [NOW + 100, NOW + 900] == [after(each).server.retry_at for each in (asked, greedy)]


def test_a_probe_can_have_its_own_delay() -> None:
    """A check of the local token file is repeated after 5 s: it adds no load to the server."""
    local = ProbeAnswered(sign=Sign.HALTED, delay_seconds=5.0)

    assert NOW + 5 == after(local).server.retry_at


def test_a_second_failing_run_marks_the_channel_down() -> None:
    """The probe succeeds, but two different runs fail: starts are down, stops and server are up."""
    state = after(
        answered(1, Sign.FAILED), ProbeAnswered(sign=Sign.ANSWERED), answered(2, Sign.FAILED)
    )

    assert (HealthState.DOWN, "run 2: failed") == (starts(state).health, starts(state).reason)
    assert state.channels[Channel.STOPS].condition.is_up
    assert state.server.is_up


def test_a_single_failing_run_does_not_mark_the_channel_down() -> None:
    """A channel (starts or stops) is down only if a second, different run fails."""
    assert starts(after(*[answered(1, Sign.FAILED)] * 5)).is_up


def test_a_run_to_blame_does_not_mark_the_channel_down() -> None:
    """Two runs fail, but the second one has failed before while other runs were accepted."""
    known = answered(2, Sign.FAILED, is_blamed=True)

    assert starts(after(answered(1, Sign.FAILED), known)).is_up


def test_an_accepted_run_between_two_failures_keeps_the_channel_up() -> None:
    """The failures before and after the accepted run have no common cause."""
    state = after(answered(1, Sign.FAILED), answered(3, Sign.ANSWERED), answered(2, Sign.FAILED))

    assert starts(state).is_up


@pytest.mark.parametrize(
    ("sign", "longest"),
    [(Sign.FAILED, MAX_CHANNEL_DELAY_SECONDS), (Sign.HALTED, HALT_TRIAL_SECONDS)],
)
def test_a_failing_channel_is_tried_again_soon(sign: Sign, longest: float) -> None:
    """The server is up but starts fail: a start is tried within 5 s, or 30 s if halted."""
    state = after(*[answered(run, sign) for run in range(20)])

    assert NOW + longest / 2 == starts(state).retry_at


def test_an_accepted_run_ends_every_outage() -> None:
    """After one accepted start the server and the channel for starts are up again."""
    down: tuple[Observation, ...] = (
        *[answered(run, Sign.FAILED) for run in (1, 2)],
        ProbeAnswered(sign=Sign.FAILED),
        answered(3, Sign.ANSWERED),
    )

    state = after(*down)

    assert (HealthState.UP, HealthState.UP) == (state.server.health, starts(state).health)
    assert (NOW, 1) == (state.server.since, state.channels[Channel.STARTS].accepted)


def test_a_successful_probe_makes_failing_channels_due_at_once() -> None:
    """Starts may have failed for the same reason as the server, so they are tried again now."""
    down = after(*[answered(run, Sign.FAILED) for run in (1, 2)], ProbeAnswered(sign=Sign.FAILED))

    state = observe(down, ProbeAnswered(sign=Sign.ANSWERED), NOW + 0.1, random=0.0)

    assert (True, NOW + 0.1) == (state.server.is_up, starts(state).retry_at)


def test_a_successful_probe_of_a_healthy_server_changes_nothing() -> None:
    """The version of the server is checked every hour by such a probe."""
    assert BackendState() == after(ProbeAnswered(sign=Sign.ANSWERED))


def test_a_change_by_an_administrator_makes_the_next_probe_due_at_once() -> None:
    """The token or the configuration has changed, or an administrator typed `retry`."""
    halted = after(ProbeAnswered(sign=Sign.HALTED))

    assert observe(halted, CauseChanged(), NOW + 1, random=0.0).probe_is_due(NOW + 1)


@pytest.mark.parametrize(
    ("accepted_before", "sign", "expected"),
    [(None, Sign.FAILED, False), (1, Sign.FAILED, False), (0, Sign.FAILED, True),
     (0, Sign.HALTED, True), (0, Sign.ANSWERED, False)],
)  # fmt: skip
def test_a_run_is_to_blame_if_it_fails_after_an_accepted_run(
    accepted_before: int | None, sign: Sign, *, expected: bool
) -> None:
    """Another run must have been accepted since this run's last failure."""
    state = after(answered(2, Sign.ANSWERED))

    assert expected is state.is_to_blame(answered(1, sign, accepted_before=accepted_before))


def test_a_run_to_blame_does_not_count_against_the_server() -> None:
    """A run fails again after another run was accepted: this requests no probe."""
    state = after(answered(2, Sign.ANSWERED), answered(1, Sign.FAILED, accepted_before=0))

    assert (False, frozenset()) == (state.probe_wanted, state.channels[Channel.STARTS].suspects)


def test_failing_stops_do_not_delay_starts() -> None:
    """Two failed stops mark only the channel for stops as down."""
    state = after(*[answered(run, Sign.FAILED, channel=Channel.STOPS) for run in (1, 2)])

    stops = state.channels[Channel.STOPS].condition
    assert (True, HealthState.DOWN) == (starts(state).is_up, stops.health)


@pytest.mark.parametrize(
    ("failures", "random", "expected"),
    [(0, 0.0, 0.5), (0, 1.0, 1.0), (3, 0.0, 4.0), (6, 0.0, 30.0), (99, 1.0, 60.0)],
)
def test_retry_delays_double_and_are_random(failures: int, random: float, expected: float) -> None:
    """After n failures the delay is between half of 2ⁿ seconds and all of it, at most 60 s."""
    assert expected == spread_backoff(failures, MAX_DELAY_SECONDS, random)

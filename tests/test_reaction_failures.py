"""Failed requests: which count against the run, when they are retried, when the run is given up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reaction_values import NOW, RUN, STARTED, asked

from ccbackend.outcomes import Reason, ReplyVerdict
from spool.deliver.pending_run import RequestKind
from spool.deliver.reaction import ALONE_HINT, RunAction, react
from spool.files.run import LastError

FAILING = [
    Reason.UNREACHABLE,
    Reason.BROKEN,
    Reason.DATABASE,
    Reason.NOT_THE_API,
    Reason.TOKEN_REFUSED,
    Reason.UNKNOWN_CLUSTER,
    Reason.PANIC,
    Reason.UNEXPECTED,
    Reason.QUERY_FAILED,
]


@pytest.mark.parametrize("reason", FAILING)
def test_a_failure_while_no_other_run_is_accepted_counts_no_attempt(reason: Reason) -> None:
    """The server may be the cause: the run is not changed, however often it was tried."""
    run = replace(RUN, attempts=23)

    reaction = react(run, ReplyVerdict(reason), asked(RequestKind.START))

    assert (run, RunAction.WAIT) == (reaction.run, reaction.action)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (99, 30.0)]
)
def test_a_run_that_fails_while_no_other_run_is_accepted_is_retried_soon(
    failures: int, seconds: float
) -> None:
    """The cause can be the server: the wait doubles from 1 s up to 30 s."""
    reaction = react(RUN, ReplyVerdict(Reason.BROKEN), asked(RequestKind.START, failures=failures))

    assert seconds == reaction.wait_seconds


@pytest.mark.parametrize(
    ("reason", "failures", "is_slim"),
    [
        (Reason.TOKEN_REFUSED, 5, False),
        (Reason.TOKEN_REFUSED, 6, True),
        (Reason.TOKEN_REFUSED, 7, False),
        (Reason.TOKEN_REFUSED, 12, True),
        (Reason.BROKEN, 6, False),
    ],
)
def test_after_every_sixth_refusal_a_start_is_sent_without_its_script(
    reason: Reason, failures: int, *, is_slim: bool
) -> None:
    """A firewall can reject the script or the description, although cc-backend works."""
    context = asked(RequestKind.START, failures=failures, can_be_slim=True)

    reaction = react(RUN, ReplyVerdict(reason), context)

    assert (RunAction.WAIT, is_slim) == (reaction.action, reaction.is_slim)


@pytest.mark.parametrize("reason", FAILING)
def test_a_run_that_fails_alone_counts_its_attempts(reason: Reason) -> None:
    """While other runs are accepted, any failure of a run counts, and the run waits for 5 s."""
    reaction = react(RUN, ReplyVerdict(reason), asked(RequestKind.START, is_to_blame=True))

    assert (1, NOW + 5, RunAction.KEEP) == (
        reaction.run.attempts,
        reaction.run.not_before,
        reaction.action,
    )


def test_a_run_that_fails_alone_has_a_hint_of_its_own() -> None:
    """The hint says that cc-backend accepts other runs: the server itself works."""
    context = asked(RequestKind.STOP, is_to_blame=True, status=403)

    error = react(STARTED, ReplyVerdict(Reason.TOKEN_REFUSED, "no"), context).run.last_error

    expected = LastError(
        time=NOW,
        call="stop",
        outcome="halt",
        reason="token_refused",
        message="no",
        hint=ALONE_HINT,
        status=403,
    )
    assert expected == error


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(0, 5), (1, 10), (2, 20), (9, 2560), (10, 3600), (22, 3600)]
)
def test_a_run_that_fails_alone_is_tried_hourly_at_most(attempts: int, seconds: int) -> None:
    """The wait doubles from 5 s up to 1 h."""
    run = replace(RUN, attempts=attempts)

    reaction = react(run, ReplyVerdict(Reason.DATABASE), asked(RequestKind.START, is_to_blame=True))

    assert (NOW + seconds, RunAction.KEEP) == (reaction.run.not_before, reaction.action)


def test_a_run_that_fails_alone_24_times_becomes_a_dead_letter() -> None:
    """No run is retried forever while cc-backend accepts others."""
    run = replace(RUN, attempts=23)

    reaction = react(run, ReplyVerdict(Reason.DATABASE), asked(RequestKind.START, is_to_blame=True))

    assert (RunAction.DEAD_LETTER, 24) == (reaction.action, reaction.run.attempts)

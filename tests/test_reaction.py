"""What an answer of cc-backend does to a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ccbackend.outcomes import Outcome, Reason, ReplyVerdict
from slurm.job import Job
from spool.deliver.pending_run import RequestKind
from spool.deliver.reaction import (
    ALONE_HINT,
    RequestContext,
    RunAction,
    react,
)
from spool.deliver.settlement import settle_conflict
from spool.files.run import End, EndSource, LastError, Run

NOW = 1_767_230_000
BEGAN = NOW - 600
RUN = Run(job=Job(job_id=7, user="ada", nodes=("n1",), start_time=BEGAN), start_time=BEGAN)
OVER = End(time=NOW - 10, state="COMPLETED", source=EndSource.CONTROLLER)
STARTED = replace(RUN, started=BEGAN + 1, cluster="alex")


def asked(kind: RequestKind, **facts: Any) -> RequestContext:
    """Return a request answered now."""
    return RequestContext(kind=kind, now=NOW + 0.5, cluster="alex", **facts)


@pytest.mark.parametrize("reason", [Reason.CREATED, Reason.STORED_BEFORE])
def test_an_accepted_start_fixes_time_and_cluster(reason: Reason) -> None:
    """The cluster's name is kept from the first accepted start on."""
    reaction = react(RUN, ReplyVerdict(reason), asked(RequestKind.START))

    assert replace(RUN, started=NOW, cluster="alex") == reaction.run


def test_a_start_sent_again_keeps_its_cluster() -> None:
    """A renamed cluster in the configuration does not change a reported run."""
    again = replace(RUN, cluster="old")

    assert "old" == react(again, ReplyVerdict(Reason.CREATED), asked(RequestKind.START)).run.cluster


def test_a_queued_start_is_sent_again_after_some_seconds() -> None:
    """cc-backend 1.4.0 and 1.4.1 store a start only later, or never."""
    reaction = react(RUN, ReplyVerdict(Reason.QUEUED), asked(RequestKind.START))

    assert (None, NOW + 5) == (reaction.run.started, reaction.run.not_before)


def test_a_start_that_is_queued_again_and_again_becomes_a_dead_letter() -> None:
    """Those servers promise to store what their database refuses."""
    run = replace(RUN, attempts=3)

    assert (
        RunAction.DEAD_LETTER
        is react(run, ReplyVerdict(Reason.QUEUED), asked(RequestKind.START)).action
    )


@pytest.mark.parametrize("reason", [Reason.STOPPED, Reason.STOPPED_BEFORE])
def test_an_accepted_stop_finishes_the_run(reason: Reason) -> None:
    """Nothing is left to send."""
    run = replace(STARTED, end=OVER)

    assert RunAction.ARCHIVE is react(run, ReplyVerdict(reason), asked(RequestKind.STOP)).action


def test_a_deleted_row_is_struck_off() -> None:
    """Each row in the way is deleted once."""
    run = replace(RUN, replaces=(1, 2))

    assert (2,) == react(run, ReplyVerdict(Reason.DELETED), asked(RequestKind.DELETE)).run.replaces


def test_an_unknown_stop_leads_back_to_the_start() -> None:
    """The run is started again before it is stopped."""
    reaction = react(
        replace(STARTED, end=OVER), ReplyVerdict(Reason.UNKNOWN_RUN), asked(RequestKind.STOP)
    )

    assert (None, RunAction.KEEP) == (reaction.run.started, reaction.action)


def test_a_run_that_is_forgotten_again_and_again_becomes_a_dead_letter() -> None:
    """A server that accepts every start and knows none is no reason to go on for ever."""
    run = replace(STARTED, end=OVER, attempts=3)

    assert (
        RunAction.DEAD_LETTER
        is react(run, ReplyVerdict(Reason.UNKNOWN_RUN), asked(RequestKind.STOP)).action
    )


@pytest.mark.parametrize("reason", [Reason.BAD_REQUEST, Reason.WRONG_DIALECT])
def test_a_refused_run_becomes_a_dead_letter_at_once(reason: Reason) -> None:
    """What no repetition can repair does not wait."""
    assert (
        RunAction.DEAD_LETTER is react(RUN, ReplyVerdict(reason), asked(RequestKind.START)).action
    )


def test_the_words_of_cc_backend_are_kept_harmless() -> None:
    """Terminal codes of an answer never reach a file as they are."""
    reaction = react(
        RUN, ReplyVerdict(Reason.BAD_REQUEST, "no\n\x1b[31m"), asked(RequestKind.START)
    )

    expected = LastError(
        time=NOW,
        call="start",
        outcome="rejected",
        reason="bad_request",
        message="no\\x0a\\x1b[31m",
        hint=Reason.BAD_REQUEST.hint,
    )
    assert expected == reaction.run.last_error


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
def test_a_failure_without_a_witness_changes_nothing(reason: Reason) -> None:
    """It may be the server's: nothing is charged or stored, however often it was tried."""
    run = replace(RUN, attempts=23)

    reaction = react(run, ReplyVerdict(reason), asked(RequestKind.START))

    assert (run, RunAction.WAIT) == (reaction.run, reaction.action)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (99, 30.0)]
)
def test_a_run_that_may_not_be_to_blame_is_tried_again_soon(failures: int, seconds: float) -> None:
    """Ever rarer, up to half a minute."""
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
def test_a_start_without_a_witness_is_tried_without_its_texts(
    reason: Reason, failures: int, *, is_slim: bool
) -> None:
    """A firewall may dislike the script, and on a quiet site no other run shows it."""
    context = asked(RequestKind.START, failures=failures, can_be_slim=True)

    reaction = react(RUN, ReplyVerdict(reason), context)

    assert (RunAction.WAIT, is_slim) == (reaction.action, reaction.is_slim)


@pytest.mark.parametrize("reason", FAILING)
def test_a_run_that_fails_alone_waits_alone(reason: Reason) -> None:
    """While others pass it is charged, and tried ever more rarely: one rule for all failures."""
    reaction = react(RUN, ReplyVerdict(reason), asked(RequestKind.START, is_to_blame=True))

    assert (1, NOW + 5, RunAction.KEEP) == (
        reaction.run.attempts,
        reaction.run.not_before,
        reaction.action,
    )


def test_a_run_that_fails_alone_says_where_to_look() -> None:
    """The hint of the failure would send an administrator to a server that works."""
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
    """The wait doubles up to an hour."""
    run = replace(RUN, attempts=attempts)

    reaction = react(run, ReplyVerdict(Reason.DATABASE), asked(RequestKind.START, is_to_blame=True))

    assert (NOW + seconds, RunAction.KEEP) == (reaction.run.not_before, reaction.action)


def test_a_run_that_fails_alone_24_times_becomes_a_dead_letter() -> None:
    """Nobody waits for ever."""
    run = replace(RUN, attempts=23)

    reaction = react(run, ReplyVerdict(Reason.DATABASE), asked(RequestKind.START, is_to_blame=True))

    assert (RunAction.DEAD_LETTER, 24) == (reaction.action, reaction.run.attempts)


@pytest.mark.parametrize(
    ("reason", "seconds"), [(Reason.AFTER_FLUSH, 180), (Reason.ARCHIVE_UNREADABLE, 3600)]
)
def test_a_parked_run_waits_as_its_reason_asks(reason: Reason, seconds: int) -> None:
    """Parking charges nobody."""
    reaction = react(RUN, ReplyVerdict(reason), asked(RequestKind.START))

    assert (NOW + seconds, 0, RunAction.KEEP) == (
        reaction.run.not_before,
        reaction.run.attempts,
        reaction.action,
    )


@pytest.mark.parametrize("reason", [Reason.UNKNOWN_HOST, Reason.UNKNOWN_CLUSTER_ALONE])
def test_a_run_of_an_unknown_name_stores_no_time(reason: Reason) -> None:
    """Its name is tried again each minute, and lets all of them go."""
    reaction = react(RUN, ReplyVerdict(reason), asked(RequestKind.START))

    assert (RUN, RunAction.KEEP) == (replace(reaction.run, last_error=None), reaction.action)


def test_a_conflict_is_to_be_settled() -> None:
    """Which runs are in the way is found out first."""
    reaction = react(RUN, ReplyVerdict(Reason.DUPLICATE), asked(RequestKind.START))

    assert (RUN, RunAction.SETTLE) == (replace(reaction.run, last_error=None), reaction.action)


def test_a_text_that_was_added_leaves_the_run_as_it_is() -> None:
    """Its start and its end are not concerned."""
    reaction = react(STARTED, ReplyVerdict(Reason.EDITED), asked(RequestKind.EDIT_META))

    assert (STARTED, RunAction.KEEP) == (reaction.run, reaction.action)


@pytest.mark.parametrize(("attempts", "started"), [(0, BEGAN), (1, BEGAN), (2, None)])
def test_a_stop_of_a_queued_start_is_repeated_before_the_start_is(
    attempts: int, started: int | None
) -> None:
    """The start may still stand in the queue of 1.4.0 and 1.4.1."""
    run = replace(STARTED, end=OVER, started=BEGAN, attempts=attempts)

    reaction = react(run, ReplyVerdict(Reason.UNKNOWN_RUN_YET), asked(RequestKind.STOP))

    assert (RunAction.KEEP, started) == (reaction.action, reaction.run.started)


def test_every_outcome_has_a_reaction() -> None:
    """The closed list is covered."""
    reasons = {reason.outcome: reason for reason in Reason}

    actions = {
        o: react(RUN, ReplyVerdict(r), asked(RequestKind.START)).action for o, r in reasons.items()
    }

    assert set(Outcome) == set(actions)


def test_an_earlier_run_is_replaced_by_policy() -> None:
    """Its row is to be deleted first."""
    earlier = BEGAN - 100

    reaction = settle_conflict(RUN, [earlier], [earlier], replace_earlier=True, now=NOW)

    assert (earlier,) == reaction.run.replaces


def test_an_earlier_run_is_kept_by_policy() -> None:
    """The second run stays here, unreported, with the reason."""
    reaction = settle_conflict(RUN, [BEGAN - 9], [BEGAN - 9], replace_earlier=False, now=NOW)

    assert not reaction.run.reported
    assert "keep" in str(reaction.run.reason)


@pytest.mark.parametrize(
    ("attempts", "action"), [(0, RunAction.KEEP), (22, RunAction.KEEP), (23, RunAction.DEAD_LETTER)]
)
def test_a_row_that_nothing_proves_is_never_deleted(attempts: int, action: RunAction) -> None:
    """The server compares start times, not its clock: after a day an administrator has to look."""
    run = replace(RUN, attempts=attempts)

    reaction = settle_conflict(run, [BEGAN - 9], [], replace_earlier=True, now=NOW)

    assert ((), NOW + 3600) == (reaction.run.replaces, reaction.run.not_before)
    assert action is reaction.action


def test_a_conflict_without_a_row_within_a_day_keeps_the_hint_of_the_answer() -> None:
    """Perhaps the server's job cache holds the other run."""
    refused = react(RUN, ReplyVerdict(Reason.DUPLICATE), asked(RequestKind.START)).run

    reaction = settle_conflict(refused, [], [], replace_earlier=True, now=NOW)

    assert refused.last_error is not None
    assert reaction.run.last_error is not None
    assert refused.last_error.hint == reaction.run.last_error.hint


def test_without_an_answer_of_accounting_nothing_is_counted() -> None:
    """That it does not answer is no fault of the run, however long it lasts."""
    run = replace(RUN, attempts=23)

    reaction = settle_conflict(run, [BEGAN - 9], None, replace_earlier=True, now=NOW)

    assert (RunAction.KEEP, 23) == (reaction.action, reaction.run.attempts)
    assert NOW + 300 == reaction.run.not_before


def test_a_dead_run_behind_an_unproven_row_says_what_to_do() -> None:
    """The earlier row has to go first."""
    refused = react(RUN, ReplyVerdict(Reason.DUPLICATE), asked(RequestKind.START)).run

    reaction = settle_conflict(refused, [BEGAN - 9], [], replace_earlier=True, now=NOW)

    assert reaction.run.last_error is not None
    assert "within the day before" in reaction.run.last_error.hint


def test_a_run_older_than_a_stored_one_is_not_reported() -> None:
    """History out of order is noted, never forced over a later run."""
    reaction = settle_conflict(RUN, [BEGAN + 50], [BEGAN + 50], replace_earlier=True, now=NOW)

    assert not reaction.run.reported


@pytest.mark.parametrize(
    ("attempts", "action"), [(22, RunAction.KEEP), (23, RunAction.DEAD_LETTER)]
)
@pytest.mark.parametrize("distance", [50, 90 * 24 * 3600])
def test_a_run_older_than_a_stranger_waits_for_a_person(
    attempts: int, action: RunAction, distance: int
) -> None:
    """However much later the other one began; tried hourly for a day, it is never just dropped."""
    run = replace(RUN, attempts=attempts)

    reaction = settle_conflict(run, [BEGAN + distance], [], replace_earlier=True, now=NOW)

    assert (action, True, NOW + 3600) == (
        reaction.action,
        reaction.run.reported,
        reaction.run.not_before,
    )


def test_a_dead_run_out_of_order_says_what_to_do() -> None:
    """The later row has to go first."""
    refused = react(RUN, ReplyVerdict(Reason.DUPLICATE), asked(RequestKind.START)).run

    reaction = settle_conflict(refused, [BEGAN + 50], [], replace_earlier=True, now=NOW)

    assert reaction.run.last_error is not None
    assert "delete that run" in reaction.run.last_error.hint

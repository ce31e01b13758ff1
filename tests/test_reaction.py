"""The reaction of a run to an answer of cc-backend."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reaction_values import BEGAN, NOW, RUN, STARTED, asked

from ccbackend.outcomes import Outcome, Reason, ReplyVerdict
from spool.deliver.pending_run import RequestKind
from spool.deliver.reaction import RunAction, react
from spool.files.run import End, EndSource, LastError

OVER = End(time=NOW - 10, state="COMPLETED", source=EndSource.CONTROLLER)


@pytest.mark.parametrize("reason", [Reason.CREATED, Reason.STORED_BEFORE])
def test_an_accepted_start_stores_its_time_and_cluster(reason: Reason) -> None:
    """The cluster's name is kept from the first accepted start on."""
    reaction = react(RUN, ReplyVerdict(reason), asked(RequestKind.START))

    assert replace(RUN, started=NOW, cluster="alex") == reaction.run


def test_a_start_sent_again_keeps_its_cluster() -> None:
    """A renamed cluster in the configuration does not change a reported run."""
    again = replace(RUN, cluster="old")

    assert "old" == react(again, ReplyVerdict(Reason.CREATED), asked(RequestKind.START)).run.cluster


def test_a_queued_start_is_sent_again_after_5_s() -> None:
    """cc-backend 1.4.0 and 1.4.1 store a start only later, or never."""
    reaction = react(RUN, ReplyVerdict(Reason.QUEUED), asked(RequestKind.START))

    assert (None, NOW + 5) == (reaction.run.started, reaction.run.not_before)


def test_a_start_that_is_queued_four_times_becomes_a_dead_letter() -> None:
    """cc-backend 1.4.0 also queues starts that its database rejects: no row is stored."""
    run, actions = RUN, []
    for _ in range(4):
        reaction = react(run, ReplyVerdict(Reason.QUEUED), asked(RequestKind.START))
        run = reaction.run
        actions.append(reaction.action)

    assert [RunAction.KEEP] * 3 + [RunAction.DEAD_LETTER] == actions


def test_attempts_before_a_queued_start_do_not_count_as_queued() -> None:
    """20 attempts failed with another cause: the first queued start counts as attempt 1."""
    refused = ReplyVerdict(Reason.SWALLOWED)
    run = replace(react(RUN, refused, asked(RequestKind.START)).run, attempts=20)

    reaction = react(run, ReplyVerdict(Reason.QUEUED), asked(RequestKind.START))

    assert (RunAction.KEEP, 1) == (reaction.action, reaction.run.attempts)


@pytest.mark.parametrize("reason", [Reason.STOPPED, Reason.STOPPED_BEFORE])
def test_an_accepted_stop_finishes_the_run(reason: Reason) -> None:
    """After its stop a run has no request left to send, and is archived."""
    run = replace(STARTED, end=OVER)

    assert RunAction.ARCHIVE is react(run, ReplyVerdict(reason), asked(RequestKind.STOP)).action


def test_a_deleted_row_is_removed_from_the_rows_to_replace() -> None:
    """A run lists the conflicting rows in `replaces`; each of them is deleted once."""
    run = replace(RUN, replaces=(1, 2))

    assert (2,) == react(run, ReplyVerdict(Reason.DELETED), asked(RequestKind.DELETE)).run.replaces


def test_a_row_to_delete_that_is_not_found_waits_for_a_flush() -> None:
    """cc-backend 1.5 cannot delete a row in its job cache before the next flush (180 s)."""
    run = replace(RUN, replaces=(1, 2))

    reaction = react(run, ReplyVerdict(Reason.AFTER_FLUSH), asked(RequestKind.DELETE))

    assert ((1, 2), NOW + 180) == (reaction.run.replaces, reaction.run.not_before)


def test_a_row_that_is_not_found_after_a_flush_counts_as_deleted() -> None:
    """An earlier request deleted the row, and its answer was lost."""
    verdict, request = ReplyVerdict(Reason.AFTER_FLUSH), asked(RequestKind.DELETE)
    waiting = react(replace(RUN, replaces=(1, 2)), verdict, request).run

    assert replace(RUN, replaces=(2,)) == react(waiting, verdict, request).run


def test_a_deletion_that_waits_for_a_flush_says_how_to_try_it_now() -> None:
    """The hint of the error has `cc-spool retry ID`, which the server's message does not have."""
    run = replace(RUN, replaces=(1,))

    error = react(run, ReplyVerdict(Reason.AFTER_FLUSH), asked(RequestKind.DELETE)).run.last_error

    assert error is not None
    assert "`cc-spool retry ID`" in error.hint


def test_the_wait_for_a_flush_is_configurable() -> None:
    """With a commit interval of 3700 s a run waits for 3700 s instead of 180 s."""
    request = asked(RequestKind.START, commit_seconds=3700.0)

    reaction = react(RUN, ReplyVerdict(Reason.AFTER_FLUSH), request)

    assert NOW + 3700 == reaction.run.not_before


def test_an_accepted_start_resets_the_count_of_replacements() -> None:
    """The count of deleted rows begins at zero if the start has to be sent again."""
    run = replace(RUN, replacements=3)

    assert 0 == react(run, ReplyVerdict(Reason.CREATED), asked(RequestKind.START)).run.replacements


def test_a_stop_of_an_unknown_run_repeats_the_start() -> None:
    """cc-backend has no row of the run: the start is sent again before the stop."""
    reaction = react(
        replace(STARTED, end=OVER), ReplyVerdict(Reason.UNKNOWN_RUN), asked(RequestKind.STOP)
    )

    assert (None, RunAction.KEEP) == (reaction.run.started, reaction.action)


def test_a_run_that_is_unknown_too_often_becomes_a_dead_letter() -> None:
    """A server that accepts each start and then has no row must not cause endless retries."""
    run = replace(STARTED, end=OVER, attempts=3)

    assert (
        RunAction.DEAD_LETTER
        is react(run, ReplyVerdict(Reason.UNKNOWN_RUN), asked(RequestKind.STOP)).action
    )


@pytest.mark.parametrize("reason", [Reason.BAD_REQUEST, Reason.WRONG_DIALECT])
def test_a_rejected_run_becomes_a_dead_letter_at_once(reason: Reason) -> None:
    """A start that is invalid, or has the field of another release, would be rejected again."""
    assert (
        RunAction.DEAD_LETTER is react(RUN, ReplyVerdict(reason), asked(RequestKind.START)).action
    )


def test_messages_of_cc_backend_are_escaped() -> None:
    """Terminal codes in an answer are never written to a file as they are."""
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


@pytest.mark.parametrize(
    ("reason", "seconds"), [(Reason.AFTER_FLUSH, 180), (Reason.ARCHIVE_UNREADABLE, 3600)]
)
def test_a_run_that_waits_for_the_server_counts_no_attempt(reason: Reason, seconds: int) -> None:
    """The wait is 180 s for a flush of the job cache, and 1 h for an unreadable archive."""
    reaction = react(RUN, ReplyVerdict(reason), asked(RequestKind.START))

    assert (NOW + seconds, 0, RunAction.KEEP) == (
        reaction.run.not_before,
        reaction.run.attempts,
        reaction.action,
    )


@pytest.mark.parametrize("reason", [Reason.UNKNOWN_HOST, Reason.UNKNOWN_CLUSTER_ALONE])
def test_a_run_with_an_unknown_host_or_cluster_stores_no_retry_time(reason: Reason) -> None:
    """The drain tries the name each minute; when it is accepted, all its runs are delivered."""
    reaction = react(RUN, ReplyVerdict(reason), asked(RequestKind.START))

    assert (RUN, RunAction.KEEP) == (replace(reaction.run, last_error=None), reaction.action)


def test_a_duplicate_start_has_the_action_settle() -> None:
    """The drain has to find the conflicting runs of the job id before it decides."""
    reaction = react(RUN, ReplyVerdict(Reason.DUPLICATE), asked(RequestKind.START))

    assert (RUN, RunAction.SETTLE) == (replace(reaction.run, last_error=None), reaction.action)


def test_an_added_script_or_description_does_not_change_the_run() -> None:
    """An accepted EDIT_META request affects neither the start nor the end of the run."""
    reaction = react(STARTED, ReplyVerdict(Reason.EDITED), asked(RequestKind.EDIT_META))

    assert (STARTED, RunAction.KEEP) == (reaction.run, reaction.action)


@pytest.mark.parametrize(("attempts", "started"), [(0, BEGAN), (1, BEGAN), (2, None)])
def test_a_start_is_repeated_after_three_stops_without_a_row(
    attempts: int, started: int | None
) -> None:
    """The first start can still be in the queue of cc-backend 1.4.0 or 1.4.1."""
    run = replace(STARTED, end=OVER, started=BEGAN, attempts=attempts)

    reaction = react(run, ReplyVerdict(Reason.UNKNOWN_RUN_YET), asked(RequestKind.STOP))

    assert (RunAction.KEEP, started) == (reaction.action, reaction.run.started)


def test_every_outcome_has_a_reaction() -> None:
    """`react` returns an action for each member of `Outcome`."""
    reasons = {reason.outcome: reason for reason in Reason}

    actions = {
        o: react(RUN, ReplyVerdict(r), asked(RequestKind.START)).action for o, r in reasons.items()
    }

    assert set(Outcome) == set(actions)

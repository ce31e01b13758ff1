"""Conflicts with other runs of a job id: replaced, kept, or left to an administrator."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reaction_values import BEGAN, NOW, RUN, asked

from ccbackend.outcomes import Reason, ReplyVerdict
from spool.deliver.pending_run import RequestKind
from spool.deliver.reaction import RunAction, react
from spool.deliver.settlement import settle_conflict

COMMANDS = {"cc-spool discard ID", "cc-spool retry ID"}


def test_an_earlier_run_is_replaced_by_policy() -> None:
    """With `replace_earlier` the row of the earlier run is deleted before the start is sent."""
    earlier = BEGAN - 100

    reaction = settle_conflict(RUN, [earlier], [earlier], replace_earlier=True, now=NOW)

    assert (earlier,) == reaction.run.replaces


@pytest.mark.parametrize(
    ("replacements", "wait"), [(0, 0), (1, 180), (2, 360), (3, 720), (4, 1440), (20, 3600)]
)
def test_an_earlier_row_that_comes_back_is_deleted_after_a_wait(
    replacements: int, wait: int
) -> None:
    """Another program may report the earlier run again: the wait doubles from 180 s up to 1 h."""
    run, earlier = replace(RUN, replacements=replacements), BEGAN - 100

    reaction = settle_conflict(run, [earlier], [earlier], replace_earlier=True, now=NOW)

    assert ((earlier,), wait) == (reaction.run.replaces, max(0, reaction.run.not_before - NOW))


def test_a_run_whose_earlier_row_always_comes_back_becomes_a_dead_letter() -> None:
    """After 23 deletions an administrator has to act; no row stays marked for deletion."""
    refused = react(RUN, ReplyVerdict(Reason.DUPLICATE), asked(RequestKind.START)).run
    run = replace(refused, replacements=23)

    reaction = settle_conflict(run, [BEGAN - 9], [BEGAN - 9], replace_earlier=True, now=NOW)

    assert (RunAction.DEAD_LETTER, ()) == (reaction.action, reaction.run.replaces)
    assert reaction.run.last_error is not None
    assert "another program" in reaction.run.last_error.hint


def test_an_earlier_run_is_kept_by_policy() -> None:
    """Without `replace_earlier` the later run is excluded from reporting, with the reason."""
    reaction = settle_conflict(RUN, [BEGAN - 9], [BEGAN - 9], replace_earlier=False, now=NOW)

    assert not reaction.run.reported
    assert "keep" in str(reaction.run.reason)


@pytest.mark.parametrize(
    ("attempts", "action"), [(0, RunAction.KEEP), (22, RunAction.KEEP), (23, RunAction.DEAD_LETTER)]
)
def test_a_row_that_may_belong_to_another_job_is_never_deleted(
    attempts: int, action: RunAction
) -> None:
    """Without proof of the same job the run is retried hourly; after a day it is a dead letter."""
    run = replace(RUN, attempts=attempts)

    reaction = settle_conflict(run, [BEGAN - 9], [], replace_earlier=True, now=NOW)

    assert ((), NOW + 3600) == (reaction.run.replaces, reaction.run.not_before)
    assert action is reaction.action


def test_a_conflict_without_a_listed_row_keeps_the_hint_of_the_answer() -> None:
    """The other run may be in the job cache of cc-backend, which is not listed."""
    refused = react(RUN, ReplyVerdict(Reason.DUPLICATE), asked(RequestKind.START)).run

    reaction = settle_conflict(refused, [], [], replace_earlier=True, now=NOW)

    assert refused.last_error is not None
    assert reaction.run.last_error is not None
    assert refused.last_error.hint == reaction.run.last_error.hint


def test_without_an_answer_of_accounting_no_attempt_is_counted() -> None:
    """An outage of accounting is not an error of the run, however long it lasts."""
    run = replace(RUN, attempts=23)

    reaction = settle_conflict(run, [BEGAN - 9], None, replace_earlier=True, now=NOW)

    assert (RunAction.KEEP, 23) == (reaction.action, reaction.run.attempts)
    assert NOW + 300 == reaction.run.not_before


def test_a_conflict_without_proof_of_the_same_job_names_the_commands() -> None:
    """The row can be of another job: the hint names `cc-spool discard` and `cc-spool retry`."""
    refused = react(RUN, ReplyVerdict(Reason.DUPLICATE), asked(RequestKind.START)).run

    reaction = settle_conflict(refused, [BEGAN - 9], [], replace_earlier=True, now=NOW)

    assert reaction.run.last_error is not None
    assert COMMANDS <= set(reaction.run.last_error.hint.split("`"))


def test_a_run_older_than_a_stored_one_is_not_reported() -> None:
    """A run that comes out of order never replaces a later run."""
    reaction = settle_conflict(RUN, [BEGAN + 50], [BEGAN + 50], replace_earlier=True, now=NOW)

    assert not reaction.run.reported


@pytest.mark.parametrize(
    ("attempts", "action"), [(22, RunAction.KEEP), (23, RunAction.DEAD_LETTER)]
)
@pytest.mark.parametrize("distance", [50, 90 * 24 * 3600])
def test_a_run_older_than_a_row_of_perhaps_another_job_becomes_a_dead_letter(
    attempts: int, action: RunAction, distance: int
) -> None:
    """However much later the row began, the run is retried hourly for a day and never excluded."""
    run = replace(RUN, attempts=attempts)

    reaction = settle_conflict(run, [BEGAN + distance], [], replace_earlier=True, now=NOW)

    assert (action, True, NOW + 3600) == (
        reaction.action,
        reaction.run.reported,
        reaction.run.not_before,
    )


def test_a_conflict_with_a_later_row_names_the_commands() -> None:
    """The hint of a run out of order has `cc-spool discard ID` and `cc-spool retry ID`."""
    refused = react(RUN, ReplyVerdict(Reason.DUPLICATE), asked(RequestKind.START)).run

    reaction = settle_conflict(refused, [BEGAN + 50], [], replace_earlier=True, now=NOW)

    assert reaction.run.last_error is not None
    assert COMMANDS <= set(reaction.run.last_error.hint.split("`"))

"""The exit codes of `cc-sweep`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sweep_values import OLD, start, stop

from spool.exit_codes import (
    CONFIG,
    DRIFT,
    NO_PERMISSION,
    OK,
    REFUSED,
    TRY_AGAIN,
    UNAVAILABLE,
)
from sweeper.commands.output import apply_code, failure_code, plan_code
from sweeper.values import FailureCause, GuardFinding, GuardKind, Plan, Report

SIZE = GuardFinding(name="stops", kind=GuardKind.SIZE, text="many")
FIRST = GuardFinding(name="first", kind=GuardKind.FIRST, text="first")
BOOT = GuardFinding(name="boot", kind=GuardKind.ANSWER, text="up for 3 s", is_transient=True)
SILENT = GuardFinding(name="accounting", kind=GuardKind.ANSWER, text="no answer")
ONE = Plan(changes=(start(1),))


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (FailureCause.REFUSED, REFUSED),
        (FailureCause.UNAVAILABLE, UNAVAILABLE),
        (FailureCause.NO_PERMISSION, NO_PERMISSION),
        (FailureCause.MISCONFIGURED, CONFIG),
        (FailureCause.BUSY, TRY_AGAIN),
    ],
)
def test_each_cause_of_a_failure_has_its_exit_code(cause: FailureCause, code: int) -> None:
    """A script can distinguish refused, unavailable, no permission, misconfigured and busy."""
    assert failure_code(replace(SILENT, cause=cause)) == code


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (Plan(), OK),
        (Plan(first_sightings=(start(1),), skipped={"young": 1}), OK),
        (ONE, DRIFT),
        (Plan(reports=(Report(key=start(1).key, why="odd"),)), DRIFT),
        (Plan(over_limit=1), DRIFT),
        (Plan(ends_read_until=OLD), DRIFT),
        (Plan(held_back=(stop(1),), guards=(FIRST,)), DRIFT),
        (Plan(guards=(FIRST,)), OK),
        (Plan(held_back=(stop(1),), guards=(SIZE,)), REFUSED),
        (replace(ONE, guards=(BOOT,)), REFUSED),
    ],
)
def test_plan_exits_with_0_10_or_11(plan: Plan, code: int) -> None:
    """0: no difference; 10: differences; 11: a safety check failed. A first sweep is no failure."""
    assert plan_code(plan) == code


@pytest.mark.parametrize(
    ("plan", "applied", "pending", "code"),
    [
        (Plan(), 0, 0, OK),
        (ONE, 1, 0, OK),
        (ONE, 1, 1, TRY_AGAIN),
        (ONE, 0, 0, TRY_AGAIN),
        (replace(ONE, over_limit=1), 1, 0, TRY_AGAIN),
        (Plan(ends_read_until=OLD), 0, 0, TRY_AGAIN),
        (replace(ONE, held_back=(stop(1),), guards=(SIZE,)), 1, 0, OK),
        (replace(ONE, guards=(BOOT,)), 1, 0, OK),
        (replace(ONE, guards=(SILENT,)), 1, 0, TRY_AGAIN),
        (Plan(held_back=(stop(1),), guards=(SIZE,)), 0, 0, REFUSED),
        (Plan(guards=(BOOT,)), 0, 0, REFUSED),
        (replace(ONE, guards=(FIRST,)), 0, 0, REFUSED),
    ],
)
def test_apply_exits_with_0_75_or_11(plan: Plan, applied: int, pending: int, code: int) -> None:
    """11: a check prevented each change; 75: a query failed or changes except held stops remain."""
    assert apply_code(plan, applied=applied, pending=pending) == code

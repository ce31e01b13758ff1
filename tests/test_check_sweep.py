"""The check of the last sweep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from command_site import NOON

from spool.checks.last_sweep import check_sweep
from spool.checks.result import CheckStatus
from spool.files.sweep_state import SweepSummary

SWEEP = SweepSummary(started=NOON - 9, finished=NOON - 5, pid=1)


@pytest.mark.parametrize(
    ("changes", "verdict", "text"),
    [
        ({}, CheckStatus.OK, "5s ago"),
        ({"finished": None}, CheckStatus.OK, "running"),
        ({"finished": NOON - 1800}, CheckStatus.WARNING, "the last sweep ended 30m 00s ago"),
        (
            {"started": NOON - 14400, "finished": None},
            CheckStatus.CRITICAL,
            "the last sweep began 4h 00m ago",
        ),
        (
            {"refused": True, "guards": ("size", "clock")},
            CheckStatus.WARNING,
            "the last sweep refused to act (safety check: size, clock)",
        ),
        (
            {"refused": True},
            CheckStatus.WARNING,
            "the last sweep refused to act (safety check: unknown)",
        ),
        ({"refused": True, "guards": ("boot",)}, CheckStatus.OK, "5s ago"),
        ({"guards": ("first",), "held_stops": 2}, CheckStatus.OK, "5s ago"),
        (
            {"refused": True, "guards": ("boot", "size")},
            CheckStatus.WARNING,
            "the last sweep refused to act (safety check: boot, size)",
        ),
        (
            {"finished": None, "guards": ("boot",), "held_stops": 2, "held_guards": ("size",)},
            CheckStatus.WARNING,
            "the last sweep held back 2 stops (safety check: size)",
        ),
    ],
)
def test_the_last_sweep_is_checked(
    changes: dict[str, Any], verdict: CheckStatus, text: str
) -> None:
    """An old, hanging or refused sweep is a problem; a slurmctld restart or first sweep is not."""
    found = check_sweep(replace(SWEEP, **changes), NOON, 1800, is_needed=True)
    assert (verdict, text) == (found.status, found.text)


@pytest.mark.parametrize(
    ("is_needed", "verdict"), [(True, CheckStatus.WARNING), (False, CheckStatus.OK)]
)
def test_a_missing_sweep_is_a_warning_if_one_is_needed(
    *,
    is_needed: bool,
    verdict: CheckStatus,
) -> None:
    """A site needs a sweep after its first job; before that, a missing sweep is no problem."""
    assert verdict is check_sweep(None, NOON, 1800, is_needed=is_needed).status

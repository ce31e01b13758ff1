"""Exit codes of `cc-sweep`: what happened, in one number."""

from __future__ import annotations

from spool.exit_codes import (
    CONFIG,
    DRIFT,
    NO_PERMISSION,
    OK,
    REFUSED,
    TRY_AGAIN,
    UNAVAILABLE,
)
from sweeper.values import FailureCause, GuardFinding, GuardKind, Plan

_CODES = {
    FailureCause.REFUSED: REFUSED,
    FailureCause.UNAVAILABLE: UNAVAILABLE,
    FailureCause.NO_PERMISSION: NO_PERMISSION,
    FailureCause.MISCONFIGURED: CONFIG,
    FailureCause.BUSY: TRY_AGAIN,
}


def failure_code(finding: GuardFinding) -> int:
    """Return the code of a finding because of which nothing was done."""
    return _CODES[finding.cause]


def plan_code(plan: Plan) -> int:
    """Return the code of a plan that nobody applies.

    That nothing was applied here before is no refusal: a plan is a plan.
    """
    if plan.is_refused:
        return failure_code(plan.guards[0])
    has_drift = plan.changes or plan.held_back or plan.reports or plan.over_limit
    return DRIFT if has_drift else OK


def apply_code(plan: Plan, *, applied: int, pending: int) -> int:
    """Return the code of a plan that was applied.

    Args:
        plan: it.
        applied: how many of its changes are in the spool.
        pending: how many of these the drain has not dealt with.
    """
    if plan.guards and not applied:
        return failure_code(plan.guards[0])
    # Stops that are held until the next sweep are no work left, and neither is a controller that
    # still recovers. A question without an answer is: part of the site was not looked at.
    is_partial = any(g.kind is GuardKind.ANSWER and not g.is_transient for g in plan.guards)
    is_left = pending or applied < len(plan.changes) or plan.over_limit
    return TRY_AGAIN if is_partial or is_left else OK

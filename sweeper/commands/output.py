"""What the subcommands of `cc-sweep` report: a plan, progress on a terminal, an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spool.console import is_terminal, print_json, print_line
from spool.exit_codes import (
    CONFIG,
    DRIFT,
    NO_PERMISSION,
    OK,
    REFUSED,
    TRY_AGAIN,
    UNAVAILABLE,
)
from sweeper.formats import plan_document, plan_lines
from sweeper.values import FailureCause, GuardFinding, GuardKind, Plan

_log = logging.getLogger(__name__)


def print_plan(plan: Plan, *, as_json: bool) -> None:
    """Write a plan to stdout, the findings of the safety checks to stderr."""
    if as_json:
        print_json(plan_document(plan))
    else:
        for line in plan_lines(plan):
            print_line(line)
    for guard in plan.guards:
        level = logging.INFO if guard.kind is GuardKind.FIRST else logging.ERROR
        _log.log(level, "%s", guard.text)


QUIET_SECONDS = 1.0  # steps are shown for what takes longer


@contextmanager
def show_steps() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the current step on a terminal if all takes more than 1 s."""
    with _progress_line(delay=QUIET_SECONDS, bar_format=None) as describe:
        yield lambda what: describe(what, refresh=False)


@contextmanager
def show_remaining() -> Iterator[Callable[[int], None]]:
    """Yield a function that shows on a terminal how many changes wait for the drain."""
    with _progress_line(delay=0.0, bar_format="{desc} [{elapsed}]") as describe:
        yield lambda left: describe(f"waiting for the drain: {left} to deliver", refresh=True)


@contextmanager
def _progress_line(*, delay: float, bar_format: str | None) -> Iterator[Callable[..., None]]:
    """Yield a function that shows and counts a step; `refresh`: it redraws at once."""
    if not is_terminal(sys.stderr):
        yield lambda _what, **_: None
        return
    from tqdm import tqdm  # noqa: PLC0415 - only a terminal needs it

    tqdm.monitor_interval = 0  # no thread of its own
    with tqdm(
        delay=delay,
        bar_format=bar_format,
        mininterval=0.5,
        position=0,  # one line, also where one display is within another
        leave=False,
        file=sys.stderr,
    ) as bar:

        def describe(what: str, *, refresh: bool) -> None:
            bar.set_description(what, refresh=refresh)
            bar.update()

        yield describe


_CODES = {
    FailureCause.REFUSED: REFUSED,
    FailureCause.UNAVAILABLE: UNAVAILABLE,
    FailureCause.NO_PERMISSION: NO_PERMISSION,
    FailureCause.MISCONFIGURED: CONFIG,
    FailureCause.BUSY: TRY_AGAIN,
}


def failure_code(finding: GuardFinding) -> int:
    """Return the exit code for a finding that prevented all changes."""
    return _CODES[finding.cause]


def plan_code(plan: Plan) -> int:
    """Return the exit code of `cc-sweep plan`.

    The check that no sweep was applied yet is no refusal: a plan changes nothing.
    """
    if plan.is_refused:
        return failure_code(plan.guards[0])
    has_drift = plan.changes or plan.held_back or plan.reports or plan.has_more
    return DRIFT if has_drift else OK


def apply_code(plan: Plan, *, applied: int, pending: int) -> int:
    """Return the exit code of `cc-sweep apply`.

    `applied` changes were written to the spool; `pending` of them wait for the drain.
    """
    if plan.guards and not applied:
        return failure_code(plan.guards[0])
    # Stops that are held until the next sweep are no work left, and neither is a controller that
    # still recovers. A question without an answer is: part of the site was not looked at.
    is_partial = any(g.kind is GuardKind.ANSWER and not g.is_transient for g in plan.guards)
    is_left = pending or applied < len(plan.changes) or plan.has_more
    return TRY_AGAIN if is_partial or is_left else OK

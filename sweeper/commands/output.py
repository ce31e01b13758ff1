"""How the subcommands of `cc-sweep` show a plan and a wrong argument."""

from __future__ import annotations

import logging

from spool.console import print_json, print_line
from spool.exit_codes import USAGE
from sweeper.plan_format import plan_document, plan_lines
from sweeper.values import GuardKind, Plan

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


def report_usage_error(error: Exception) -> int:
    """Log what was asked for in vain; return the exit code."""
    _log.error("%s", error)
    return USAGE

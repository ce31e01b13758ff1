"""Retry or discard dead letters one at a time, for tests."""

from __future__ import annotations

from spool.files.dead_letters import DeadLetterPlan, apply_changes, plan_discard, plan_retry
from spool.files.layout import Directory, Layout


def retry(layout: Layout, name: str, *, dry_run: bool = False) -> str:
    """Retry one dead letter; return what was done, or what would be done in a dry run."""
    return _change(layout, plan_retry, name, dry_run=dry_run)


def discard(layout: Layout, name: str, *, dry_run: bool = False) -> str:
    """Discard one dead letter; return what was done, or what would be done in a dry run."""
    return _change(layout, plan_discard, name, dry_run=dry_run)


def _change(layout: Layout, plan: DeadLetterPlan, name: str, *, dry_run: bool) -> str:
    with layout.lock(Directory.DEAD, wait=True):
        change = plan(layout, name)
        for error in () if dry_run else apply_changes(layout, [change]).values():
            raise error
    return change.planned if dry_run else change.done

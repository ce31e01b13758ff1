"""Take up the spool as the last drain left it, whatever it died of.

A run in two directories: todo wins over open, and the loser is unlinked (delivering twice is
harmless). No run file is read here: names are noted, and a run is read when it is needed.
"""

from __future__ import annotations

import logging

from spool.deliver.run_loader import NOT_A_RUN, RunLoader
from spool.deliver.run_store import RunStore
from spool.escaping import escape
from spool.files.dead_letters import WHY_SUFFIX
from spool.files.layout import Directory, Layout
from spool.moment import Moment

STALE_SECONDS = 3600
_log = logging.getLogger(__name__)


def recover(layout: Layout, store: RunStore, loader: RunLoader, now: Moment) -> None:
    """Note every run in `todo/` and `open/`; clean `tmp/` and `dead/` of leftovers."""
    clean_tmp(layout, now)
    _clean_reasons(layout)
    todo = set(layout.names(Directory.TODO))
    for name in sorted(todo, key=_age_order):
        note_file(store, loader, Directory.TODO, name, now)
    for name in list(layout.names(Directory.OPEN)):
        if name in todo:
            layout.unlink(Directory.OPEN, name)
        else:
            note_file(store, loader, Directory.OPEN, name, now)


def note_file(
    store: RunStore, loader: RunLoader, directory: Directory, name: str, now: Moment
) -> None:
    """Note a run file; a file that is none goes to `dead/`."""
    if not store.add_file(directory, name):
        loader.move_to_dead(directory, name, NOT_A_RUN, now)


def clean_tmp(layout: Layout, now: Moment) -> None:
    """Remove what a dead writer left half-written an hour ago."""
    for name in list(layout.names(Directory.TMP)):
        try:
            if now.wall - layout.mtime(Directory.TMP, name) > STALE_SECONDS:
                layout.unlink(Directory.TMP, name)
        except OSError as error:
            _log.warning("tmp/%s cannot be removed: %s", escape(name), error.strerror)


def _age_order(name: str) -> tuple[int, str]:
    """Sort what began last first: it is the most likely to run still."""
    start = name.rpartition("-")[2].removesuffix(".json")
    return (-int(start), name) if start.isdecimal() else (0, name)


def _clean_reasons(layout: Layout) -> None:
    """Remove reasons whose dead letter is gone: `retry` or `discard` died between the two."""
    names = set(layout.names(Directory.DEAD))
    for name in names:
        if name.endswith(WHY_SUFFIX) and name.removesuffix(WHY_SUFFIX) not in names:
            layout.unlink(Directory.DEAD, name)

"""Read the spool as the last drain left it, also after a crash.

If a run is in two directories, `todo/` wins over `open/`, and the other file is unlinked
(delivering twice is harmless). No run file is read here: names are indexed, and a run is read when
it is needed.
"""

from __future__ import annotations

import logging

from spool.deliver.run_loader import NOT_A_RUN, RunLoader
from spool.deliver.run_store import RunStore
from spool.escaping import escape
from spool.files.file_times import WHY_SUFFIX
from spool.files.layout import Directory, Layout
from spool.moment import Moment

STALE_SECONDS = 3600
_log = logging.getLogger(__name__)


def recover(layout: Layout, store: RunStore, loader: RunLoader, now: Moment) -> None:
    """Index every run in `todo/` and `open/`; remove leftovers from `tmp/` and `dead/`."""
    clean_tmp(layout, now)
    _clean_reasons(layout)
    todo = set(layout.names(Directory.TODO))
    for name in sorted(todo, key=_age_order):
        note_file(store, loader, Directory.TODO, name, now)
    for name in list(layout.names(Directory.OPEN)):
        # A crash between the write of one file and the removal of the other leaves both, and it is
        # not known which is newer. `todo/` wins: to deliver twice is harmless, to deliver nothing
        # is not.
        if name in todo:
            layout.unlink(Directory.OPEN, name)
        else:
            note_file(store, loader, Directory.OPEN, name, now)


def note_file(
    store: RunStore, loader: RunLoader, directory: Directory, name: str, now: Moment
) -> None:
    """Index a run file; move a file whose name is not that of a run to `dead/`."""
    if not store.add_file(directory, name):
        loader.move_to_dead(directory, name, NOT_A_RUN, now)


def clean_tmp(layout: Layout, now: Moment) -> None:
    """Remove files from `tmp/` that are over an hour old, left by processes that crashed."""
    for name in list(layout.names(Directory.TMP)):
        try:
            # A younger file may belong to a command that is writing it now. Its mtime may be old
            # nevertheless: that of a run is when the run began to wait.
            if now.wall - layout.ctime(Directory.TMP, name) > STALE_SECONDS:
                layout.unlink(Directory.TMP, name)
        except OSError as error:
            _log.warning("tmp/%s cannot be removed: %s", escape(name), error.strerror)


def _age_order(name: str) -> tuple[int, str]:
    """Return a sort key with the latest start first, because it most likely still runs."""
    start = name.rpartition("-")[2].removesuffix(".json")
    return (-int(start), name) if start.isdecimal() else (0, name)


def _clean_reasons(layout: Layout) -> None:
    """Remove `.why` files without a dead letter, left by a crash of `retry` or `discard`."""
    names = set(layout.names(Directory.DEAD))
    for name in names:
        if name.endswith(WHY_SUFFIX) and name.removesuffix(WHY_SUFFIX) not in names:
            layout.unlink(Directory.DEAD, name)

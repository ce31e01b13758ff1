"""`cc-spool replay FILE|DIR...`: import events and runs, to deliver them again."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spool.commands.importer import Importer, Throttle
from spool.config import Config
from spool.console import is_terminal, print_json, print_line
from spool.exit_codes import OK, REFUSED, TRY_AGAIN
from spool.files.import_items import ImportItem, read_import_items
from spool.files.layout import Layout
from spool.files.lock import LockState, lock_state
from spool.files.state_files import DRAIN_LOCK_FILE

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "sources",
        nargs="+",
        type=Path,
        metavar="FILE|DIR",
        help="event or run files, archives of delivered runs (*.jsonl), a directory of them, "
        "another spool, or a state directory (spool.state_directory)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be done, change nothing"
    )
    parser.add_argument("--json", action="store_true", help="write one JSON object")


def run(config: Config, args: argparse.Namespace) -> int:
    """Import the sources; return the exit code.

    Raises:
        SpoolError, OSError: the spool cannot be used.
    """
    lock = config.spool.state_directory / DRAIN_LOCK_FILE
    with Layout(config.spool.directory) as layout:
        throttle = Throttle(
            layout,
            is_drained=lambda: lock_state(lock) is LockState.HELD,
            min_free_bytes=config.spool.min_free_bytes,
        )
        importer = Importer(layout, throttle, now=time.time(), dry_run=args.dry_run)
        is_complete = True
        with progress() as advance:
            for kept in _items(args.sources, config.spool.directory):
                if not importer.import_item(kept):
                    is_complete = False
                    break
                advance()
    return _report(importer, is_complete=is_complete, as_json=args.json)


@contextmanager
def progress() -> Iterator[Callable[[], object]]:
    """Yield a function that advances a progress line; it does nothing without a terminal."""
    if not is_terminal(sys.stderr):
        yield lambda: None
        return
    from tqdm import tqdm  # noqa: PLC0415 - only a terminal needs it

    tqdm.monitor_interval = 0  # no thread of its own
    with tqdm(desc="replay", unit="", mininterval=0.5, file=sys.stderr) as bar:
        yield bar.update


def _items(sources: list[Path], spool: Path) -> Iterator[ImportItem]:
    own = Path(os.path.realpath(spool))
    for source in sources:
        real = Path(os.path.realpath(source))
        if own in (real, *real.parents):
            reason = "this is the spool itself; use `cc-spool retry` for its dead letters"
            yield ImportItem(where=str(source), item=None, reason=reason)
        else:
            yield from read_import_items(source)


def _report(importer: Importer, *, is_complete: bool, as_json: bool) -> int:
    """Report the results; return the exit code."""
    for each in importer.refused:
        _log.warning("%s is refused: %s", each["what"], each["reason"])
    if as_json:
        print_json(
            {
                "done": importer.done,
                "known": importer.known,
                "refused": importer.refused,
                "complete": is_complete,
                "dry_run": importer.dry_run,
            }
        )
    else:
        refused = len(importer.refused)
        if importer.dry_run:
            print_line(
                f"dry run, nothing was changed: {importer.done} would be imported,"
                f" {importer.known} already known, {refused} would be refused"
            )
        else:
            print_line(
                f"{importer.done} imported, {importer.known} already known, {refused} refused"
            )
    if not is_complete:
        return TRY_AGAIN
    return REFUSED if importer.refused else OK

"""What `retry` and `discard` share: choose dead letters, treat each alone, tell of each."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from spool.commands.entries import ALL, Entry, entries, job_id_of, matching
from spool.commands.formatting import pluralize
from spool.console import print_json, print_line
from spool.errors import BadFileError
from spool.escaping import escape
from spool.exit_codes import OK, REFUSED, USAGE
from spool.files.inventory import RunFile
from spool.files.layout import Directory, Layout

_LIVE_DIRECTORIES = (Directory.NEW, Directory.TODO, Directory.OPEN)
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a verb that treats dead letters."""
    parser.add_argument(
        "id", metavar="ID|ALL", help="a file's name, a job id (all of its runs), or ALL of them"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, change nothing"
    )
    parser.add_argument("--json", action="store_true", help="a list of objects")


def select(layout: Layout, wanted: str) -> list[Entry] | None:
    """Return the dead letters that an ID means, oldest first; None and a message if none."""
    dead = [_without_texts(entry) for entry in entries(layout, [Directory.DEAD])]
    found = dead if wanted == ALL else matching(dead, wanted)
    if found or wanted == ALL:
        return sorted(found, key=_age_key)
    elsewhere = matching(entries(layout, _LIVE_DIRECTORIES), wanted)
    for entry in elsewhere:
        name = escape(entry.name)
        _log.error("%s lies in %s/; only what is dead can be treated", name, entry.directory)
    if not elsewhere:
        hint = "; ALL is written in upper case" if wanted.upper() == ALL else ""
        _log.error("%s: no dead letter has this name or job id%s", wanted, hint)
    return None


def apply_action(
    layout: Layout,
    selected: list[Entry],
    action: Callable[..., str],
    *,
    args: argparse.Namespace,
) -> int:
    """Apply an action to each letter; one that is refused does not keep the others from it.

    Raises:
        OSError: the spool cannot be written; the rest is as it was.
    """
    done: list[dict[str, Any]] = []
    for entry in selected:
        shown = {"id": escape(entry.name), "job_id": job_id_of(entry)}
        try:
            words = action(layout, entry.name, dry_run=args.dry_run)
        except BadFileError as error:
            done.append({**shown, "done": False, "words": escape(error.reason)})
            _log.error("%s: %s", shown["id"], escape(error.reason))
        except FileNotFoundError:
            continue  # somebody else was faster
        else:
            done.append({**shown, "done": True, "words": words})
            if not args.json:
                print_line(f"{shown['id']} {words}")
    if args.json:
        print_json(done)
    return _summarize(done, dry_run=args.dry_run)


def report_no_selection(selected: list[Entry] | None, *, as_json: bool) -> int:
    """Report that there is nothing to do; return the exit code: fine for ALL of nothing."""
    if selected is None:
        return USAGE
    if as_json:
        print_json([])
    return OK


def _summarize(done: list[dict[str, Any]], *, dry_run: bool) -> int:
    refused = sum(not each["done"] for each in done)
    letters = pluralize(len(done) - refused, "dead letter")
    if dry_run:
        words = "dry run, nothing was changed: %s would be changed, %d would be refused"
    else:
        words = "%s changed, %d refused"
    _log.info(words, letters, refused)
    return REFUSED if refused else OK


def _without_texts(entry: Entry) -> Entry:
    """Return an entry without what can be large: there may be many."""
    if not isinstance(entry, RunFile):
        return entry
    return replace(entry, run=replace(entry.run, script=None, description=None))


def _age_key(entry: Entry) -> tuple[float, str]:
    start = entry.run.start_time if isinstance(entry, RunFile) else entry.time
    return start, entry.name

"""The common part of `retry` and `discard`: select dead letters, change them, report each."""

from __future__ import annotations

import argparse
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from spool.commands.entries import ALL, job_id_of, matching_names
from spool.console import print_json, print_line
from spool.errors import BadFileError, UnusableFileError
from spool.escaping import escape
from spool.exit_codes import OK, REFUSED, USAGE
from spool.files.dead_letters import (
    GROUP_BYTES,
    GROUP_SIZE,
    DeadLetterChange,
    DeadLetterPlan,
    apply_changes,
)
from spool.files.file_times import list_names
from spool.files.layout import Directory, Layout
from spool.files.run import is_run_name, parse_run_name

_LIVE_DIRECTORIES = (Directory.NEW, Directory.TODO, Directory.OPEN)
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a subcommand that changes dead letters."""
    parser.add_argument(
        "id",
        metavar="ID|ALL",
        help="an id that `cc-spool list` shows, a job id (all its runs), or ALL",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be done, change nothing"
    )
    parser.add_argument("--json", action="store_true", help="write a JSON list")


def select(layout: Layout, wanted: str) -> list[str]:
    """Return the names of the dead letters that match an ID, oldest first; no file is opened."""
    since = {name: mtime for mtime, name in list_names(layout, Directory.DEAD)}
    found = {name for _, name in matching_names(layout, wanted, [Directory.DEAD])}
    names = since.keys() if wanted == ALL else since.keys() & found
    starts = {name: parse_run_name(name)[1] for name in names if is_run_name(name)}
    return sorted(names, key=lambda name: (starts.get(name, since[name]), name))


def report_nothing(layout: Layout, wanted: str, *, as_json: bool) -> int:
    """Report that no dead letter matches an ID, but which other files do; return the exit code.

    ALL without any dead letter is not an error.
    """
    if wanted == ALL:
        if as_json:
            print_json([])
        return OK
    elsewhere = list(matching_names(layout, wanted, _LIVE_DIRECTORIES))
    for directory, name in elsewhere:
        text = "%s is in %s/: it is not a dead letter; `cc-spool show` shows its state"
        _log.error(text, escape(name), directory)
    if not elsewhere:
        hint = "; write ALL in upper case" if wanted.upper() == ALL else ""
        _log.error("%s: no dead letter has this name or job id%s", wanted, hint)
    return USAGE


def apply_plan(
    layout: Layout, names: list[str], plan: DeadLetterPlan, *, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Change each dead letter as planned; a refused one does not stop the others.

    Returns:
        `{"id", "job_id", "done", "words"}` of each, except those that vanished meanwhile.

    Raises:
        OSError: the spool cannot be written; the rest is unchanged.
    """
    done: list[dict[str, Any]] = []
    waiting = deque(names)
    while waiting:
        with nullcontext() if args.dry_run else _lock(layout):
            group = _next_group(layout, waiting, plan)
            changes = [each for each in group if isinstance(each, DeadLetterChange)]
            refused = {} if args.dry_run else apply_changes(layout, changes)
        for planned in group:
            result = _result(planned, refused, dry_run=args.dry_run)
            if result is None:
                continue
            done.append(result)
            if not result["done"]:
                _log.error("%s: %s", result["id"], result["words"])
            elif not args.json:
                print_line(f"{result['id']} {result['words']}")
    return done


def summarize(done: list[dict[str, Any]], *, args: argparse.Namespace) -> int:
    """Print the results as JSON if requested, log the counts; return the exit code."""
    if args.json:
        print_json(done)
    refused = sum(not each["done"] for each in done)
    if args.dry_run:
        words = "dry run, nothing was changed: %d would succeed, %d would be refused"
    else:
        words = "%d done, %d refused"
    _log.info(words, len(done) - refused, refused)
    return REFUSED if refused else OK


@contextmanager
def _lock(layout: Layout) -> Iterator[None]:
    """Hold the lock of `dead/`."""
    with layout.lock(Directory.DEAD, wait=False) as is_free:
        if is_free:
            yield
            return
    text = (
        "%s is locked by the drain or by another `cc-spool retry` or `cc-spool discard`; waiting"
        " until it is released"
    )
    _log.warning(text, layout.root / Directory.DEAD)
    with layout.lock(Directory.DEAD, wait=True):
        yield


def _next_group(
    layout: Layout, waiting: deque[str], plan: DeadLetterPlan
) -> list[DeadLetterChange | UnusableFileError]:
    """Take names from `waiting`, up to a number and size; return each one's change or refusal."""
    group: list[DeadLetterChange | UnusableFileError] = []
    size_bytes = 0
    while waiting and len(group) < GROUP_SIZE and size_bytes < GROUP_BYTES:
        planned = _planned(layout, waiting.popleft(), plan)
        if planned is not None:
            group.append(planned)
            size_bytes += planned.size_bytes if isinstance(planned, DeadLetterChange) else 0
    return group


def _planned(
    layout: Layout, name: str, plan: DeadLetterPlan
) -> DeadLetterChange | UnusableFileError | None:
    """Return the change of a dead letter or its refusal; None if it vanished meanwhile."""
    try:
        return plan(layout, name)
    except FileNotFoundError:
        return None
    except UnusableFileError as error:
        return error
    except OSError as error:
        return BadFileError(name, error.strerror or str(error))


def _result(
    planned: DeadLetterChange | UnusableFileError,
    refused: dict[str, UnusableFileError | FileNotFoundError],
    *,
    dry_run: bool,
) -> dict[str, Any] | None:
    """Return the result for a dead letter; None if it vanished meanwhile."""
    if isinstance(planned, UnusableFileError):
        return _document(planned.path, escape(planned.reason), done=False)
    problem = refused.get(planned.name)
    if isinstance(problem, FileNotFoundError):
        return None
    if problem is not None:
        return _document(planned.name, escape(problem.reason), done=False)
    words = planned.planned if dry_run else planned.done
    return _document(planned.name, words, done=True)


def _document(name: str, words: str, *, done: bool) -> dict[str, Any]:
    return {"id": escape(name), "job_id": job_id_of(name), "done": done, "words": words}

"""`cc-spool list`: list the files in the spool, one per line."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator

from slurm.type_names import Any
from spool.commands.drain_view import DrainView, read_drain_view
from spool.commands.entries import entry_document
from spool.config import Config
from spool.console import print_json, print_line
from spool.escaping import escape
from spool.exit_codes import OK
from spool.files.file_times import LISTED, list_names
from spool.files.inventory import read_file
from spool.files.layout import Directory, Layout
from spool.formatting import format_age, format_table, format_time, parse_duration, pluralize

DEFAULT_LIMIT = 1000
_HEAD = ("in", "id", "job", "user", "start", "age", "why")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "directory",
        nargs="?",
        choices=[str(each) for each in LISTED],
        help="list only the files in one directory of the spool: new (events), todo (pending),"
        " open (started), dead (dead letters)",
    )
    parser.add_argument(
        "--limit",
        type=_limit,
        metavar="N",
        default=DEFAULT_LIMIT,
        help="list at most N files, 0 for all (default: %(default)s)",
    )
    parser.add_argument(
        "--user", metavar="NAME", help="list only jobs of this user (reads every file)"
    )
    parser.add_argument(
        "--older",
        type=_duration,
        metavar="DURATION",
        help="list only what has been pending for at least this long, such as 45s, 2h or 3d",
    )
    parser.add_argument(
        "--reason",
        metavar="TEXT",
        help="list only runs whose reason contains TEXT (reads every file)",
    )
    parser.add_argument("--json", action="store_true", help="write a JSON list")


def run(config: Config, args: argparse.Namespace) -> int:
    """List the spool; return the exit code.

    Raises:
        SpoolError: the spool cannot be used.
    """
    now = time.time()
    view = read_drain_view(config.spool.state_directory)
    directories = [Directory(args.directory)] if args.directory else LISTED
    with Layout(config.spool.directory) as layout:
        files = [
            (directory, name)
            for directory in directories
            for since, name in list_names(layout, directory)
            if args.older is None or now - since >= args.older
        ]
        found, read = _select(_documents(layout, files, view, now), args)
    _print(found, now, as_json=args.json)
    if rest := len(files) - read:
        more = pluralize(rest, "more file")
        logging.getLogger(__name__).info(
            "%s not shown: raise --limit, or use --user, --older or --reason", more
        )
    return OK


def _documents(
    layout: Layout, files: list[tuple[Directory, str]], view: DrainView, now: float
) -> Iterator[dict[str, Any] | None]:
    """Yield an object of `list --json` for each file, one at a time; None if it was removed."""
    for directory, name in files:
        entry = read_file(layout, directory, name)
        yield None if entry is None else entry_document(entry, view, now)


def _select(
    documents: Iterator[dict[str, Any] | None], args: argparse.Namespace
) -> tuple[list[dict[str, Any]], int]:
    """Return the first objects that match `--user` and `--reason`, and how many were read."""
    found: list[dict[str, Any]] = []
    read = 0
    for document in documents:
        read += 1
        if document is not None and _is_wanted(document, args):
            found.append(document)
            if len(found) == args.limit:
                break
    return found, read


def _is_wanted(document: dict[str, Any], args: argparse.Namespace) -> bool:
    is_of_user = args.user is None or document["user"] == args.user
    return is_of_user and (
        args.reason is None or args.reason.casefold() in document["waits"].casefold()
    )


def _print(found: list[dict[str, Any]], now: float, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    elif found:
        for line in format_table([_HEAD, *(_cells(each, now) for each in found)]):
            print_line(line)


def _cells(shown: dict[str, Any], now: float) -> tuple[object, ...]:
    return (
        shown["state"],
        shown["id"],
        shown["job_id"] or "-",
        escape(shown["user"] or "-"),
        format_time(shown["start"]),
        format_age(shown["since"], now),
        escape(shown["waits"]),
    )


def _limit(text: str) -> int:
    """Parse a number of files.

    Raises:
        argparse.ArgumentTypeError: not a number of files.
    """
    if not (text.isascii() and text.isdigit() and len(text) < len(str(2**63))):
        raise argparse.ArgumentTypeError(f"expected a number of files such as 1000, got {text!r}")
    return int(text)


def _duration(text: str) -> float:
    """Parse a duration to seconds.

    Raises:
        argparse.ArgumentTypeError: not a duration.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error

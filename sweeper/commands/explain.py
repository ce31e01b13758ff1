"""`cc-sweep explain JOBID`: one job on one page. Changes nothing."""

from __future__ import annotations

import argparse

from spool.config import Config
from spool.console import print_json, print_line
from spool.exit_codes import OK
from spool.files.state_files import DELIVERED_DIRECTORY
from sweeper.commands.plan import positive, usage_error
from sweeper.commands.site import site_of
from sweeper.explain import explain
from sweeper.look.some import UnknownJobsError
from sweeper.page import document, lines
from sweeper.plan import Options
from sweeper.state import read_state
from sweeper.sweep import look


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument("jobid", type=positive, metavar="JOBID", help="of an array task its own")
    parser.add_argument("--json", action="store_true", help="write the page as JSON")


def run(config: Config, args: argparse.Namespace) -> int:
    """Write the page; return the exit code."""
    directory = config.spool.state_directory
    with site_of(config, args) as site:
        try:
            sight = look(site, read_state(directory), Options(), [args.jobid])
        except UnknownJobsError as error:
            return usage_error(error)
        page = explain(
            site.sources,
            directory / DELIVERED_DIRECTORY,
            args.jobid,
            seen=sight.observation,
            plan=sight.decision.plan,
        )
    if args.json:
        print_json(document(page))
    else:
        for line in lines(page):
            print_line(line)
    return OK

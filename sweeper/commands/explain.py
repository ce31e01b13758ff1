"""`cc-sweep explain JOBID`: all that is known of one job. Changes nothing."""

from __future__ import annotations

import argparse

from spool.config import Config
from spool.console import print_json, print_line
from spool.exit_codes import OK
from spool.files.state_files import DELIVERED_DIRECTORY
from spool.files.sweep_state import read_sweep_state
from sweeper.commands.arguments import positive_number
from sweeper.commands.assembly import open_context
from sweeper.formats import job_report_document, job_report_lines
from sweeper.job_report import build_job_report
from sweeper.plan import SweepOptions
from sweeper.sweep import observe, plan_repairs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "jobid",
        type=positive_number,
        metavar="JOBID",
        help="the job id, such as 4711; for an array task, the id that `squeue -o %%A` shows",
    )
    parser.add_argument("--json", action="store_true", help="write the report as JSON")


def run(config: Config, args: argparse.Namespace) -> int:
    """Write the report; return the exit code.

    Raises:
        UsageError: the job is unknown to all sides.
    """
    directory = config.spool.state_directory
    state = read_sweep_state(directory)
    with open_context(config, args) as context:
        observation = observe(context, state, [args.jobid])
        job_report = build_job_report(
            context.sources,
            directory / DELIVERED_DIRECTORY,
            args.jobid,
            observation=observation,
            plan=plan_repairs(context, state, observation, SweepOptions()).decision.plan,
        )
    if args.json:
        print_json(job_report_document(job_report))
    else:
        for line in job_report_lines(job_report):
            print_line(line)
    return OK

"""`cc-sweep plan`: what a sweep would do. Changes nothing."""

from __future__ import annotations

import argparse

from spool.config import Config
from spool.files.sweep_state import read_sweep_state
from sweeper.commands.arguments import add_selection_arguments, sweep_options
from sweeper.commands.assembly import open_context
from sweeper.commands.output import plan_code, print_plan
from sweeper.sweep import observe, plan_repairs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    add_selection_arguments(parser)


def run(config: Config, args: argparse.Namespace) -> int:
    """Show the plan; return its exit code.

    Raises:
        UsageError: a job is unknown to all sides.
    """
    state = read_sweep_state(config.spool.state_directory)
    with open_context(config, args) as context:
        observation = observe(context, state, args.jobid)
    plan = plan_repairs(context, state, observation, sweep_options(config, args)).decision.plan
    print_plan(plan, as_json=args.json)
    return plan_code(plan)

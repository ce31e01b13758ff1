"""`cc-sweep nodes`: report the states of all nodes once, or show them with `--plan`."""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing

from ccbackend.outcomes import Outcome
from ccbackend.version import SharedServerInfo
from slurm.process import ProcessRunner
from spool.config import Config
from spool.connections import NODE_STATES_LIMITS, backend_client, node_reporter
from spool.console import print_json, print_line
from spool.escaping import escape
from spool.exit_codes import OK, UNAVAILABLE
from spool.files.node_round import (
    REASONS,
    NodeRound,
    left_out_texts,
    read_node_round,
    write_node_round,
)
from spool.formatting import format_table
from spool.nodes.report import NodeReport
from spool.nodes.reporter import NodeReporter, NodeStatesError

MIN_SECONDS = 2.0
_HEAD = ("cluster", "host", "state", "cpus", "memory_mb", "gpus", "jobs")
_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "--plan", action="store_true", help="show what would be reported; send nothing"
    )
    parser.add_argument("--json", action="store_true", help="write the result as JSON")


def run(config: Config, args: argparse.Namespace) -> int:
    """Report all nodes, or show them; return the exit code."""
    backend = backend_client(config, args.token, SharedServerInfo(), limits=NODE_STATES_LIMITS)
    with closing(backend):
        reply = backend.probe().reply
        if reply.outcome is not Outcome.DELIVERED:
            said = reply.verdict.message or reply.verdict.hint
            return _fail(f"cc-backend does not answer: {said}")
        reporter = node_reporter(config, ProcessRunner(), backend)
        directory = config.spool.state_directory
        last = read_node_round(directory) or NodeRound()
        if args.plan:
            return _plan(reporter, last, as_json=args.json)
        time.sleep(max(0.0, min(MIN_SECONDS, last.tried + MIN_SECONDS - time.time())))
        found = reporter.run(last)
        write_node_round(directory, found, os)
    if found.problem:
        return _fail(found.problem)
    if args.json:
        print_json({"states": dict(found.states), "left_out": dict(found.left_out)})
        return OK
    states = ", ".join(f"{word} {count}" for word, count in found.states.items())
    print_line(f"reported {found.nodes} nodes: {states}")
    for text in left_out_texts(found.left_out):
        print_line(f"not reported: {text}")
    return OK


def _plan(reporter: NodeReporter, last: NodeRound, *, as_json: bool) -> int:
    """Show the node states that would be reported; return the exit code."""
    try:
        report = reporter.look(last)
    except NodeStatesError as error:
        return _fail(str(error))
    rows = list(_rows(report))
    if as_json:
        nodes = [dict(zip(_HEAD, row, strict=True)) for row in rows]
        left_out = {str(reason): names for reason, names in report.left_out.items()}
        print_json({"nodes": nodes, "left_out": left_out, "unreadable": report.unreadable})
        return OK
    for line in format_table([_HEAD, *rows]):
        print_line(line)
    for reason, names in report.left_out.items():
        print_line(f"not reported, {REASONS[reason]}: {escape(', '.join(names), 1000)}")
    return OK


def _rows(report: NodeReport) -> Iterator[tuple[object, ...]]:
    for cluster, nodes in report.clusters.items():
        for node in nodes:
            numbers = (node.cpus, node.memory_mb, node.gpus, node.jobs)
            yield (cluster, escape(node.host), str(node.condition), *numbers)


def _fail(text: str) -> int:
    _log.error("node states are not reported: %s", escape(text, 1000))
    return UNAVAILABLE

"""`cc-spool draft-cluster`: write a cluster.json for cc-backend from what Slurm knows.

The draft goes to stdout; what must be filled in or checked goes to stderr.
"""

from __future__ import annotations

import argparse
import logging

from slurm.cluster_survey import ClusterSurvey
from slurm.errors import SlurmError
from slurm.process import ProcessRunner
from spool.config import Config
from spool.config.backend_settings import site_map
from spool.connections import slurm_commands
from spool.console import print_line
from spool.draft.cluster_json import cluster_text, draft_cluster
from spool.exit_codes import OK, UNAVAILABLE, USAGE

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "--cluster",
        metavar="NAME",
        help="name of the cluster in cc-backend (default: clustername of the configuration)",
    )


def run(config: Config, args: argparse.Namespace) -> int:
    """Print the draft; return the exit code."""
    survey = ClusterSurvey(slurm_commands(config), config.slurm.sacctmgr, ProcessRunner())
    try:
        nodes = survey.nodes()
    except SlurmError as error:
        _log.error("Slurm did not answer: %s", error)
        return UNAVAILABLE
    ignored = config.ignore_hosts
    reported = [node for node in nodes if ignored is None or not ignored.search(node.name)]
    cluster = args.cluster or config.clustername
    found = draft_cluster(cluster, reported, site_map(config))
    if not found.document["subClusters"]:
        _log.error("cluster %s has no Slurm nodes: check --cluster and partition_clusters", cluster)
        return USAGE
    for line in cluster_text(found.document).splitlines():
        print_line(line)
    for note in found.notes:
        _log.warning("check: %s", note)
    return OK

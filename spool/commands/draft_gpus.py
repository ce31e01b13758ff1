"""`cc-spool draft-gpus HOST...`: write `gpuPciAddrs` from the output of nvidia-smi or rocm-smi."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from slurm.decode.fields.hostlist import HostlistError, expand_hosts
from spool.console import print_json
from spool.draft.gpu_addresses import host_pattern_of, read_gpu_addresses
from spool.exit_codes import OK, USAGE

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.add_argument(
        "hosts",
        nargs="+",
        metavar="HOST",
        help="NodeName in Slurm of each host with the GPUs that nvidia-smi or rocm-smi lists on"
        " stdin; a list such as n[01-12] is expanded",
    )
    parser.add_argument(
        "-f",
        "--file",
        type=Path,
        metavar="FILE",
        help="output of `nvidia-smi --query-gpu=index,pci.bus_id,uuid --format=csv` (for MIG"
        " followed by that of `nvidia-smi -L`) or of `rocm-smi --showbus` (default: stdin)",
    )
    parser.add_argument(
        "--order",
        type=_numbers,
        default=(),
        metavar="N,N...",
        help="numbers that nvidia-smi or rocm-smi gives the GPUs, in Slurm's order, such as 0,2,1,3"
        " (default: ascending)",
    )


def run_without_config(args: argparse.Namespace) -> int:
    """Print the key `gpuPciAddrs` for the hosts; return the exit code."""
    try:
        text = sys.stdin.read() if args.file is None else args.file.read_text(errors="replace")
        found = read_gpu_addresses(text, args.order)
        hosts = [host for each in args.hosts for host in _expanded(each)]
    except (OSError, ValueError) as error:
        _log.error("%s", error)
        return USAGE
    print_json({"gpuPciAddrs": {host_pattern_of(hosts): found.addresses}})
    for note in found.notes:
        _log.warning("check: %s", note)
    return OK


def _expanded(text: str) -> tuple[str, ...]:
    """Return the hosts of a name or of a list such as `n[01-12]`.

    Raises:
        ValueError: it names no host.
    """
    try:
        hosts, problem = expand_hosts(text), "no host name"
    except HostlistError as error:
        hosts, problem = (), str(error)
    if not hosts:
        raise ValueError(f"HOST {text!r}: {problem}; write NodeNames such as n1 or n[01-12]")
    return hosts


def _numbers(text: str) -> tuple[int, ...]:
    """Parse numbers that are separated by commas, such as `0,2,1,3`.

    Raises:
        ArgumentTypeError: it is something else.
    """
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"expected GPU numbers such as 0,2,1,3, got {text!r}")
    return tuple(map(int, parts))

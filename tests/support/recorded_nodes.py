"""Recorded node states of real Slurm (`tests/data/slurm-nodes.tar.xz`) and expected reports.

A situation is `SERIES/NAME` with `scontrol-do.txt` (`scontrol -a -d -o show node`), `squeue.txt`
and `expected.json`, whose numbers were written by hand from the jobs that had been submitted:
`{"nodes": {NAME: {"state", "cpusAllocated", "memoryAllocated", "gpusAllocated", "jobsRunning"} or
null}, "mayBeLeftOut": [NAME]}`.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from slurm.decode.node_states import NodeListing, NodeListingReader

DATA = Path(__file__).parents[1] / "data"


@cache
def node_situations() -> Mapping[str, Mapping[str, bytes]]:
    """Return the files of every situation."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(DATA / "slurm-nodes.tar.xz") as archive:
        for member in archive:
            contents = archive.extractfile(member) if member.isfile() else None
            if contents is not None:
                _, series, name, file = member.name.split("/")
                found.setdefault(f"{series}/{name}", {})[file] = contents.read()
    return found


def expected_nodes(situation: str) -> dict[str, Any]:
    """Return the expected report of a situation, which was written by hand."""
    found: dict[str, Any] = json.loads(node_situations()[situation]["expected.json"])
    return found


def read_listing(text: bytes, piece: int = 65_536) -> NodeListing:
    """Return the node listing from an output that arrives in pieces."""
    reader = NodeListingReader()
    for begin in range(0, len(text), piece):
        reader.feed(text[begin : begin + piece])
    return reader.finish()

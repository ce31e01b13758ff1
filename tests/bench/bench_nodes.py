"""Measure a round of node states with 10 000 nodes: `make bench-nodes` (without root and Slurm).

Prints the CPU time of a round without child processes, and the memory that it adds to a drain's.
Slurm is a file in the format of 24.11, cc-backend a stub in another process.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from recorded_nodes import node_situations
from stub_server import Model, StubServer

from ccbackend.version import SharedServerInfo
from slurm.process import ProcessRunner
from spool.commands import drain
from spool.config import load
from spool.connections import backend_client, node_reporter
from spool.files.node_round import NodeRound

NODES = 10_000
ROUNDS = 5
TOKEN = "TOKEN:api"
_SCONTROL = '#!/bin/sh\ncase "$*" in\nping) echo "Slurmctld(primary) at ctl is UP" ;;\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesCost:
    """The cost of a round: CPU and wall seconds, and MiB above the memory before the first one."""

    cpu_seconds: float
    command_seconds: float
    wall_seconds: float
    peak_mib: float


def nodes_cost() -> NodesCost:
    """Measure some rounds in a separate process; return median times and the peak memory."""
    parts = [{"name": "a", "nodes": f"n[00000-{NODES - 1:05}]"}]
    model = Model(version="1.5.4", token=TOKEN, clusters=[{"name": "lab", "subClusters": parts}])
    with tempfile.TemporaryDirectory() as root, StubServer(model) as server:
        config = _site(Path(root), server.url)
        command = [sys.executable, __file__, str(config)]
        done = subprocess.run(command, capture_output=True, check=True)
        return NodesCost(**json.loads(done.stdout))


def _site(root: Path, url: str) -> Path:
    """Write the nodes, a command that prints them, and a configuration."""
    lines = node_situations()["24.11/busy"]["scontrol-do.txt"].decode().splitlines()
    names = (f"NodeName=n{number:05}" for number in range(NODES))
    text = (re.sub(r"NodeName=\S+", name, lines[i % len(lines)]) for i, name in enumerate(names))
    (root / "nodes").write_text("\n".join(text) + "\n")
    (root / "scontrol").write_text(f"{_SCONTROL}*) exec cat {root}/nodes ;;\nesac\n")
    (root / "scontrol").chmod(0o755)
    (root / "token").write_text(TOKEN + "\n")
    (root / "token").chmod(0o600)
    (root / "state").mkdir()
    document = {
        "clustername": "lab",
        "slurm": {"scontrol": str(root / "scontrol")},
        "cc-backend": {"host": url, "token_file": str(root / "token")},
        "spool": {"directory": str(root), "state_directory": str(root / "state")},
    }
    (root / "config.json").write_text(json.dumps(document))
    return root / "config.json"


def measure(path: Path) -> NodesCost:
    """Run the rounds in this process, which has imported all modules of a drain."""
    assert drain  # its modules are in memory
    config = load(path)
    backend = backend_client(config, lambda: TOKEN, SharedServerInfo())
    backend.detect_server()
    reporter = node_reporter(config, ProcessRunner(), backend)
    before, last = _memory_mib("VmRSS"), NodeRound()
    own, command, wall = [], [], []
    for _ in range(ROUNDS):
        starts = time.process_time(), _children_seconds(), time.monotonic()
        last = reporter.run(last)
        if last.nodes != NODES:
            raise AssertionError(f"{last.nodes} nodes were reported: {last.problem}")
        own.append(time.process_time() - starts[0])
        command.append(_children_seconds() - starts[1])
        wall.append(time.monotonic() - starts[2])
    return NodesCost(
        cpu_seconds=median(own),
        command_seconds=median(command),
        wall_seconds=median(wall),
        peak_mib=_memory_mib("VmHWM") - before,
    )


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory_mib(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def main() -> int:
    """Print the figures; with the path of a configuration: measure, and print them as JSON."""
    if len(sys.argv) > 1:
        print(json.dumps(asdict(measure(Path(sys.argv[1])))))
        return 0
    found = nodes_cost()
    print(
        f"{NODES} nodes: {found.cpu_seconds:.2f} s CPU a round, {found.peak_mib:.1f} MiB at most, "
        f"{found.wall_seconds:.2f} s in all"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

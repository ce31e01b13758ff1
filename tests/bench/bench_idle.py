"""What a drain costs that has nothing to do: `make bench-idle` (needs neither root nor Slurm).

Prints its resident memory and the share of one core that it took over half a minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from slurm_lab.wait import wait_until
from stub_server import StubServer

SECONDS = 30.0
SLURM = "#!/bin/sh\necho 'ClusterName = lab'\necho 'StateSaveLocation = /nonexistent'\n"


def site(root: Path, url: str) -> Path:
    """Lay out a spool and a configuration; return the latter."""
    for name in ("new", "todo", "open", "dead", "tmp", "state"):
        (root / name).mkdir()
    command = root / "slurm"
    command.write_text(SLURM + "echo 'Slurmctld(primary) at ctl is UP'\n")
    command.chmod(0o755)
    token = root / "token"
    token.write_text("TOKEN:api\n")
    token.chmod(0o600)
    document = {
        "clustername": "lab",
        "slurm": {name: str(command) for name in ("squeue", "sacct", "scontrol")},
        "cc-backend": {"host": url, "token_file": str(token)},
        "spool": {"directory": str(root), "state_directory": str(root / "state")},
    }
    config = root / "config.json"
    config.write_text(json.dumps(document))
    return config


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    (line,) = (
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
    return int(line.split()[1]) / 1024


def main() -> int:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as root, StubServer() as server:
        config = site(Path(root), server.url)
        drain = subprocess.Popen(
            [sys.executable, "-m", "spool.cli", "drain", "-c", str(config)],
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
        )
        try:
            wait_until(lambda: bool(server.log), "the drain to speak to the server")
            time.sleep(2)
            before = cpu_seconds(drain.pid)
            time.sleep(SECONDS)
            share = (cpu_seconds(drain.pid) - before) / SECONDS
            print(f"idle drain: {resident_mib(drain.pid):.1f} MiB, {100 * share:.2f} % of one core")
        finally:
            drain.terminate()
            drain.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure the cost of an idle drain: `make bench-idle` (needs neither root nor Slurm).

Prints its resident memory, its share of one core and its wake-ups per second over 135 s, while
cc-backend answers and while it is down. The cost of a wake-up depends on the machine: a Python
process that only wakes up once a second is measured as well.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from installed import CC_SPOOL
from slurm_lab.wait import wait_until
from stub_server import Model, StubServer

SECONDS = 135.0  # three passes of a quiet drain; a round of node states comes every 300 s
BARE_SECONDS = 60.0  # of the process that only wakes up once a second
# Until the drain has made its first round of node states and its second query of the topology, and
# the probes of an outage are rare.
SETTLE_SECONDS = 65.0
PART = {"name": "cpu", "nodes": "n[1-4]", "topology": {"socket": [], "core": []}}
CLUSTER = {"name": "lab", "subClusters": [PART]}
SLEEPER = "import time\nwhile True:\n    time.sleep(1)"
SLURM = "#!/bin/sh\necho 'ClusterName = lab'\necho 'StateSaveLocation = /nonexistent'\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """The cost of an idle drain: CPU in percent of one core, and thread wake-ups per second."""

    cpu_percent: float
    wakeups_per_second: float
    resident_mib: float


def site(root: Path, url: str) -> Path:
    """Create a spool and a configuration; return the path of the configuration."""
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
    """Return the CPU time of a process so far in seconds, from schedstat (nanoseconds)."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def status_number(path: Path, key: str) -> int:
    """Return a number of a `status` file of /proc."""
    (line,) = (line for line in path.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1])


def wakeups(pid: int) -> int:
    """Return how often the threads of a process have gone to sleep and were woken."""
    tasks = Path(f"/proc/{pid}/task").glob("*/status")
    return sum(status_number(task, "voluntary_ctxt_switches") for task in tasks)


def measure(pid: int, seconds: float) -> Idle:
    """Return the cost of a process over some seconds."""
    cpu, woken, begun = cpu_seconds(pid), wakeups(pid), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begun
    return Idle(
        cpu_percent=100 * (cpu_seconds(pid) - cpu) / took,
        wakeups_per_second=(wakeups(pid) - woken) / took,
        resident_mib=status_number(Path(f"/proc/{pid}/status"), "VmRSS") / 1024,
    )


def bare_process(seconds: float = BARE_SECONDS) -> Idle:
    """Return the cost of a Python process that only wakes up once a second."""
    with subprocess.Popen([sys.executable, "-I", "-c", SLEEPER]) as process:
        time.sleep(1)
        try:
            return measure(process.pid, seconds)
        finally:
            process.terminate()


def idle_drain(seconds: float = SECONDS, *, is_down: bool = False) -> Idle:
    """Return the cost of a drain without work; `is_down`: cc-backend is unreachable."""
    model = Model(version="1.5.4", clusters=[CLUSTER])
    with tempfile.TemporaryDirectory() as root, StubServer(model) as server:
        url = "http://127.0.0.1:9" if is_down else server.url
        config = site(Path(root), url)
        drain = subprocess.Popen([*CC_SPOOL, "drain", "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            state = Path(root) / "state" / "drain.json"
            wait_until(lambda: bool(server.log) or (is_down and state.exists()), "the drain")
            time.sleep(SETTLE_SECONDS)
            return measure(drain.pid, seconds)
        finally:
            drain.terminate()
            drain.wait()


def main() -> int:
    """Print the figures."""
    plain = bare_process()
    print(
        f"a Python process that wakes up once a second: {plain.resident_mib:.1f} MiB,"
        f" {plain.cpu_percent:.3f} % of one core"
    )
    for is_down in (False, True):
        found = idle_drain(is_down=is_down)
        name = "idle drain" + (", cc-backend is down" if is_down else "")
        print(
            f"{name}: {found.resident_mib:.1f} MiB, {found.cpu_percent:.3f} % of one core,"
            f" {found.wakeups_per_second:.2f} wake-ups per second"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

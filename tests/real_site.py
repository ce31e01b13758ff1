"""A site for tests: a real Slurm cluster, our hooks, our drain as a process, a stub server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from slurm_lab import Lab, wait_until
from stub_server import Model, StubServer

HERE = Path(__file__).parent
TOPOLOGY = {
    "node": list(range(16)),
    "socket": [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]],
    "core": [[i, i + 8] for i in range(8)],
}
GPUS = ["00000000:0A:00.0", "00000000:1B:00.0", "00000000:2C:00.0", "00000000:3D:00.0"]
CLUSTERS = [
    {
        "name": "lab",
        "subClusters": [
            {"name": "cpu", "nodes": "n2cn[001-004]", "topology": TOPOLOGY},
            {"name": "gpu", "nodes": "n2gpu[01-02]", "topology": TOPOLOGY},
        ],
    }
]


class RealSite:
    """Ties a running lab to a stub server by a drain that can be stopped and started."""

    def __init__(self, lab: Lab, version: str, root: Path) -> None:
        self.lab = lab
        self.server = StubServer(Model(version=version, clusters=CLUSTERS))
        self.config = root / "config.json"
        self.log = root / "drain.log"
        self.state = root / "state"
        self.state.mkdir()
        self.token = root / "token"
        self.token.write_text("TOKEN:api\n")
        self.token.chmod(0o600)
        document = {
            "clustername": "lab",
            "slurm": {name: str(lab.command(name)) for name in ("squeue", "sacct", "scontrol")},
            "cc-backend": {"host": self.server.url, "token_file": str(self.token)},
            "gpuPciAddrs": {"^n2gpu0[12]$": GPUS},
            "spool": {"directory": str(lab.spool), "state_directory": str(self.state)},
            "drain": {"stop_hold_seconds": 1},
        }
        self.config.write_text(json.dumps(document))
        self._drain: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.start_drain()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_drain()
        self.server.close()

    def start_drain(self) -> None:
        """Start the drain."""
        with self.log.open("ab") as log:
            self._drain = subprocess.Popen(
                [sys.executable, "-m", "spool.cli", "drain", "-c", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=HERE.parent,
                env={"PATH": os.environ["PATH"]},
            )

    def stop_drain(self) -> int:
        """End the drain in order and return its exit code."""
        if self._drain is None:
            return 0
        self._drain.terminate()
        code = self._drain.wait(timeout=20)
        self._drain = None
        return code

    def kill_drain(self) -> None:
        """Let the drain die."""
        if self._drain is not None:
            self._drain.kill()
            self._drain.wait()
            self._drain = None

    def wait_for(self, what: str, is_so: Callable[[], bool], timeout: float = 60) -> None:
        """Return when something is so."""
        wait_until(is_so, what, timeout=timeout)

    def rows(self, *jobs: int) -> list[dict[str, Any]]:
        """Return the rows of some jobs, oldest first, cached ones too."""
        tables = {**self.server.model.job, **self.server.model.cache}
        mine = [row for key, row in tables.items() if key[0] in jobs]
        return sorted(mine, key=lambda row: (row["jobId"], row["startTime"]))

    def wait_closed(self, *jobs: int, runs: int = 1, timeout: float = 60) -> list[dict[str, Any]]:
        """Return the rows of some jobs when all are closed and the spool holds none of them."""

        def is_so() -> bool:
            found = self.rows(*jobs)
            closed = all(row["jobState"] != "running" for row in found)
            return len(found) == len(jobs) * runs and closed and not self.waiting(*jobs)

        self.wait_for(f"rows of {jobs} to be closed", is_so, timeout)
        return self.rows(*jobs)

    def wait_running(self, *jobs: int, timeout: float = 60) -> list[dict[str, Any]]:
        """Return the rows of some jobs when all of them run."""

        def is_so() -> bool:
            found = [row for row in self.rows(*jobs) if row["jobState"] == "running"]
            return {row["jobId"] for row in found} == set(jobs)

        self.wait_for(f"rows of {jobs} to run", is_so, timeout)
        return self.rows(*jobs)

    def waiting(self, *jobs: int) -> list[str]:
        """Return what the spool holds of some jobs."""
        ids = {str(job) for job in jobs}
        names = []
        for directory in ("new", "todo", "open", "dead"):
            for path in (self.lab.spool / directory).iterdir():
                parts = path.name.split("-")
                if parts[2 if directory == "new" else 0] in ids:
                    names.append(f"{directory}/{path.name}")
        return sorted(names)

    def accepted(self, job: int, call: str) -> int:
        """Return how many requests of a kind cc-backend accepted for a job."""
        done = [e for e in self.server.log if call in e.path and e.status in {200, 201}]
        return sum(json.loads(exchange.body)["jobId"] == job for exchange in done)

    def accounted(self, job: int) -> list[tuple[int, int, str]]:
        """Return start, end and state of each run of a job by accounting."""
        rows = self.lab.jobs.accounted(job, "Start", "End", "State")
        return [(int(start), int(end), state.split()[0]) for start, end, state in rows]

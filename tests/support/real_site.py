"""A site for tests with a real Slurm cluster, our hooks, a drain process and a stub server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self, TextIO

from real_expected import GPUS
from slurm_lab import Lab, wait_until
from stub_server import Model, StubServer, refusal

ROOT = Path(__file__).parents[2]
TOPOLOGY = {
    "node": list(range(16)),
    "socket": [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]],
    "core": [[i, i + 8] for i in range(8)],
}
CLUSTERS = [
    {
        "name": "lab",
        "subClusters": [
            {"name": "cpu", "nodes": "n2cn[001-004]", "topology": TOPOLOGY},
            {"name": "gpu", "nodes": "n2gpu[01-02]", "topology": TOPOLOGY},
        ],
    }
]
HOLD_SECONDS = 2


class RealSite:
    """A running lab whose drain delivers to a stub server; tests stop, kill and start the drain."""

    def __init__(
        self,
        lab: Lab,
        version: str,
        root: Path,
        *,
        spool: str = "spool",
        log_to: TextIO | None = None,
    ) -> None:
        """Prepare a site; its drain's log is printed at the end, to stdout by default."""
        self.lab = lab
        self._log_to = log_to
        self.name = spool
        self.version = version
        self.spool = lab.root / spool
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
            "spool": {"directory": str(self.spool), "state_directory": str(self.state)},
            "drain": {"stop_hold_seconds": HOLD_SECONDS},
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
        print(self.log.read_text()[-20_000:], file=self._log_to)  # shown with a failure

    @property
    def pid(self) -> int:
        """Return the process id of the drain."""
        assert self._drain is not None
        return self._drain.pid

    def start_drain(self) -> None:
        """Start the drain."""
        with self.log.open("ab") as log:
            self._drain = subprocess.Popen(
                [sys.executable, "-m", "spool.cli", "drain", "-c", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={"PATH": os.environ["PATH"]},
            )

    def stop_drain(self) -> int:
        """Stop the drain by SIGTERM and return its exit code."""
        if self._drain is None:
            return 0
        self._drain.terminate()
        code = self._drain.wait(timeout=20)
        self._drain = None
        return code

    def kill_drain(self) -> None:
        """Kill the drain with SIGKILL."""
        if self._drain is not None:
            self._drain.kill()
            self._drain.wait()
            self._drain = None

    def go_away(self) -> None:
        """Let cc-backend answer every request with 503."""
        self.server.model.everything = refusal(503, "away")

    def come_back(self, version: str) -> None:
        """Let cc-backend answer again, as a given release; its rows stay."""
        self.server.model.commit()
        self.server.model.version = version
        self.server.model.everything = None

    def rows(self, *jobs: int) -> list[dict[str, Any]]:
        """Return the rows of some jobs, oldest first, including those in the job cache."""
        tables = {**self.server.model.job, **self.server.model.cache}
        mine = [row for key, row in tables.items() if key[0] in jobs]
        return sorted(mine, key=lambda row: (row["jobId"], row["startTime"]))

    def wait_closed(self, *jobs: int, timeout: float = 90) -> list[dict[str, Any]]:
        """Wait until some jobs are stopped and not in the spool any more; return their rows."""

        def is_so() -> bool:
            found = self.rows(*jobs)
            closed = all(row["jobState"] != "running" for row in found)
            return len(found) == len(jobs) and closed and not self.waiting(*jobs)

        wait_until(is_so, f"rows of {jobs} to be closed", timeout=timeout)
        return self.rows(*jobs)

    def wait_running(self, *jobs: int, timeout: float = 60) -> list[dict[str, Any]]:
        """Wait until the rows of some jobs are running; return these rows."""

        def is_so() -> bool:
            found = [row for row in self.rows(*jobs) if row["jobState"] == "running"]
            return {row["jobId"] for row in found} == set(jobs)

        wait_until(is_so, f"rows of {jobs} to run", timeout=timeout)
        return self.rows(*jobs)

    def waiting(self, *jobs: int) -> list[str]:
        """Return the names of the spool files of some jobs."""
        ids = {str(job) for job in jobs}
        names = []
        for directory in ("new", "todo", "open", "dead"):
            for path in (self.spool / directory).iterdir():
                parts = path.name.split("-")
                if parts[2 if directory == "new" else 0] in ids:
                    names.append(f"{directory}/{path.name}")
        return sorted(names)

    def has_stored(self, job: int) -> bool:
        """Return whether a run of a job is in `todo/`, with Slurm's facts about it."""
        return any(name.startswith("todo/") for name in self.waiting(job))

    @property
    def has_delivered_all(self) -> bool:
        """Whether nothing is pending, apart from the stops of running jobs."""
        return all(name.startswith("open/") for name in self.files())

    def files(self) -> list[str]:
        """Return all files in the spool except those that killed drains left in `tmp/`."""
        found = [f"{path.parent.name}/{path.name}" for path in self.spool.glob("*/*")]
        return sorted(name for name in found if not name.startswith("tmp/"))

    def reported(self, call: str) -> dict[int, list[tuple[float, dict[str, Any]]]]:
        """Return time and body of each accepted request of a kind by job id, oldest first."""
        found: dict[int, list[tuple[float, dict[str, Any]]]] = {}
        for exchange in self.server.log:
            if call in exchange.path and exchange.status in {200, 201}:
                document = json.loads(exchange.body)
                found.setdefault(document["jobId"], []).append((exchange.time, document))
        return found

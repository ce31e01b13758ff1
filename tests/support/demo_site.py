"""The site of `make demo`: a server, a drain, the commands, and a stand-in for Slurm."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

from standin_slurm.controller import Controller
from stub_server import Answer, Model, StubServer

TOKEN = "TOKEN:api"
REJECTION = "parsing request body failed: unexpected EOF"  # cc-backend's answer to a cut-off body
SPOOL_DIRECTORIES = ("new", "todo", "open", "dead", "tmp")
GPUS = ["00000000:0A:00.0", "00000000:1B:00.0", "00000000:2C:00.0", "00000000:3D:00.0"]
TOPOLOGY = {
    "node": list(range(16)),
    "socket": [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]],
    "core": [[core, core + 8] for core in range(8)],
}
CLUSTERS: list[dict[str, Any]] = [
    {
        "name": "lab",
        "subClusters": [
            {"name": "cpu", "nodes": "n2cn[001-004]", "topology": TOPOLOGY},
            {"name": "gpu", "nodes": "n2gpu[01-02]", "topology": TOPOLOGY},
        ],
    }
]


class Cluster(Protocol):
    """What the demo needs from Slurm, whether stand-in or real cluster."""

    spool: Path

    def command(self, name: str) -> Path:
        """Return the path of a Slurm command (squeue, sacct, scontrol)."""

    def plan(self, name: str, *, gpus: int = 0, node: str = "", user: str = "alice") -> int:
        """Return the id of a job that does not start yet."""

    def array(self, name: str, tasks: int) -> list[int]:
        """Start an array; return the ids of its tasks."""

    def start(self, job: int) -> None:
        """Start a planned job."""

    def end(self, job: int, *, exit_code: int = 0) -> None:
        """End a job."""

    def requeue(self, job: int) -> None:
        """End a run and begin the next one of the same job."""

    def described(self) -> str:
        """Say which Slurm this is."""


class StandInCluster:
    """A cluster for the demo with the stand-in for Slurm, which allocates cores in order."""

    def __init__(
        self, root: Path, series: str, *, settings: Mapping[str, str] | None = None
    ) -> None:
        self.spool = make_spool(root / "spool")
        self.controller = Controller(root / "slurm", series, spool=self.spool, settings=settings)
        self._free = dict.fromkeys(("n2cn001", "n2cn002", "n2gpu01"), 0)
        self._planned: dict[int, dict[str, Any]] = {}

    def command(self, name: str) -> Path:
        """Return the path of squeue, sacct, scontrol."""
        return self.controller.command(name)

    def described(self) -> str:
        """Say which Slurm this is."""
        return f"a stand-in that plays {self.controller.series}"

    def plan(self, name: str, *, gpus: int = 0, node: str = "", user: str = "alice") -> int:
        """Return the id of a job that does not start yet."""
        job = self.controller.new_id()
        node = node or "n2cn001"
        wishes: dict[str, Any] = {"job_id": job, "name": name, "user": user, "node": node}
        wishes |= {"partition": "gpu" if "gpu" in node else "cpu"}
        self._planned[job] = wishes | ({"gpus": {node: [*range(gpus)]}} if gpus else {})
        return job

    def array(self, name: str, tasks: int) -> list[int]:
        """Start an array; return the ids of its tasks."""
        jobs = [self.plan(name, node="n2cn002") for _ in range(tasks)]
        for task, job in enumerate(jobs):
            self._planned[job]["array"] = [jobs[0], task]
            self.start(job)
        return jobs

    def start(self, job: int) -> None:
        """Start a planned job."""
        wishes = self._planned[job]
        node = wishes.pop("node")
        core = self._free[node] % 8
        self._free[node] += 1
        self.controller.start({node: [core]}, **wishes)

    def end(self, job: int, *, exit_code: int = 0) -> None:
        """End a job."""
        state = "FAILED" if exit_code else "COMPLETED"
        self.controller.end(job, state, exit_code=exit_code << 8)

    def requeue(self, job: int) -> None:
        """End a run and begin the next one of the same job."""
        self.controller.requeue(job)
        time.sleep(1.1)  # runs differ by their start, in whole seconds
        self.controller.restart(job)


def make_spool(path: Path) -> Path:
    """Make the directories of a spool."""
    for name in SPOOL_DIRECTORIES:
        (path / name).mkdir(parents=True)
    return path


class DemoSite:
    """A site with a server, a drain and the administrator's commands around a cluster."""

    def __init__(
        self, cluster: Cluster, root: Path, version: str, *, server: type[Model] = Model
    ) -> None:
        self.cluster = cluster
        self.model = server(version=version, token=TOKEN, clusters=CLUSTERS)
        self._server = StubServer(self.model)
        self.config = root / "config.json"
        self.log = root / "drain.log"
        self._state, token = root / "state", root / "token"
        self._state.mkdir()
        token.write_text(f"{TOKEN}\n")
        token.chmod(0o600)
        document = {
            "clustername": "lab",
            "slurm": {name: str(cluster.command(name)) for name in ("squeue", "sacct", "scontrol")},
            "cc-backend": {"host": self._server.url, "token_file": str(token)},
            "gpuPciAddrs": {"^n2gpu0[12]$": GPUS},
            "spool": {"directory": str(cluster.spool), "state_directory": str(self._state)},
            "drain": {"stop_hold_seconds": 1},
        }
        self.config.write_text(json.dumps(document, indent=4))
        self.config.chmod(0o600)

    def __enter__(self) -> Self:
        self._server.__enter__()
        with self.log.open("ab") as log:
            self._drain = subprocess.Popen(
                self._argv("cc-spool", "drain"), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.wait("the drain to run", (self._state / "drain.json").exists)
        return self

    def __exit__(self, *_: object) -> None:
        self._drain.terminate()
        self._drain.wait(timeout=20)
        self._server.close()

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Close the server during the block; start it again on the same port."""
        port = int(self._server.url.rpartition(":")[2])
        self._server.close()
        try:
            yield
        finally:
            self._server = StubServer(self.model, port)
            self._server.__enter__()

    @contextlib.contextmanager
    def lost_events(self) -> Iterator[None]:
        """Delete the events that hooks write in the block; the drain is suspended meanwhile."""
        self._drain.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for name in self.in_spool("new"):
                (self.cluster.spool / "new" / name).unlink()
            self._drain.send_signal(signal.SIGCONT)

    def refuse(self, job: int, words: str) -> None:
        """Make the server reject the requests for a job."""
        body = json.dumps({"status": "Bad Request", "error": words}) + "\n"
        self.model.poison[job] = Answer(400, body)

    def run(self, command: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command as an administrator does."""
        argv = self._argv(command, *words)
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def _argv(self, command: str, *words: str) -> list[str]:
        return [str(Path(sys.executable).parent / command), *words, "-c", str(self.config)]

    def rows(self) -> list[dict[str, Any]]:
        """Return the server's rows, ordered by job and start."""
        rows = [*self.model.job.values(), *self.model.cache.values()]
        return sorted(rows, key=lambda row: (row["jobId"], row["startTime"]))

    def state(self, job: int) -> str | None:
        """Return the state of the latest run of a job at the server."""
        return next((r["jobState"] for r in reversed(self.rows()) if r["jobId"] == job), None)

    def in_spool(self, directory: str) -> list[str]:
        """Return the names of the files in a directory of the spool."""
        return sorted(path.name for path in (self.cluster.spool / directory).iterdir())

    def wait(self, what: str, is_so: Callable[[], bool], *, seconds: float = 20) -> float:
        """Wait until a condition holds; return how many seconds that took.

        Raises:
            TimeoutError: the condition did not hold in time.
        """
        begin = time.monotonic()
        while not is_so():
            if time.monotonic() > begin + seconds:
                raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}")
            time.sleep(0.02)
        return time.monotonic() - begin

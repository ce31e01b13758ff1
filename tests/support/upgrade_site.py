"""A site whose Slurm or cc-backend becomes another release while the drain runs.

Hooks, drain and commands are the real ones. The controller's clock is behind the real one, and the
tests move it, so that runs have a duration and different start times without waiting.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from demo_site import DemoSite, make_spool
from standin_slurm.controller import Controller
from stub_server import Model, StubServer

BEHIND_SECONDS = 200


class Clock:
    """The controller's clock."""

    def __init__(self) -> None:
        self.now = int(time.time()) - BEHIND_SECONDS

    def __call__(self) -> float:
        """Return Unix seconds."""
        return self.now


class Plant:
    """A stand-in for Slurm with that clock, and a spool."""

    def __init__(self, root: Path, series: str) -> None:
        self.clock = Clock()
        self.spool = make_spool(root / "spool")
        self.controller = Controller(root / "slurm", series, spool=self.spool, clock=self.clock)

    def command(self, name: str) -> Path:
        """Return the path of squeue, sacct, scontrol."""
        return self.controller.command(name)


class NamelessModel(Model):
    """A server built without a version: its login page carries none."""

    @property
    def build(self) -> str:
        """The version as the login page shows it."""
        return ""


class UpgradeSite(DemoSite):
    """The site; `with UpgradeSite(root, version="1.4.4") as site` runs its drain."""

    def __init__(
        self, root: Path, *, version: str, series: str = "24.11", server: type[Model] = Model
    ) -> None:
        self.plant = Plant(root, series)
        self.slurm = self.plant.controller
        super().__init__(self.plant, root, version, server=server)  # type: ignore[arg-type]  # it plans no jobs
        self._core = 0

    @property
    def pid(self) -> int:
        """The drain's process id."""
        return self._drain.pid

    def begin(self, **wishes: Any) -> int:
        """Start a job a second later, on one core or on the given ones; return its id."""
        self.plant.clock.now += 1
        self._core += 1
        cores = wishes.pop("cores", {"n2cn001": [self._core % 8]})
        return self.slurm.start(cores, **wishes)

    def end(self, job: int, state: str = "COMPLETED") -> None:
        """End a job five seconds later."""
        self.plant.clock.now += 5
        self.slurm.end(job, state)

    def requeue(self, job: int) -> None:
        """End a run by a requeue; the next one begins ten seconds later."""
        self.plant.clock.now += 5
        self.slurm.requeue(job)
        self.plant.clock.now += 10
        self.slurm.restart(job)

    def become(self, version: str) -> None:
        """Change the server to another release; move all rows to the main table."""
        self.model.commit()
        self.model.version = version

    def swap(self, version: str) -> None:
        """Replace the server by another release between two requests."""
        port = urlsplit(self._server.url).port or 0
        self._server.close()
        self.become(version)
        self._server = StubServer(self.model, port)
        self._server.__enter__()

    def in_directory(self, directory: str) -> list[int]:
        """Return the job ids of the runs in a directory."""
        return sorted(int(name.partition("-")[0]) for name in self.in_spool(directory))

    def wait_stored(self, jobs: Iterable[int]) -> None:
        """Wait until no event is left and only these jobs are pending in `todo/`."""
        wanted = sorted(jobs)
        self.wait(
            "what happened in todo/",
            lambda: not self.in_spool("new") and self.in_directory("todo") == wanted,
        )

    def wait_reported(self, running: Iterable[int] = ()) -> None:
        """Wait until everything is delivered and `open/` has these jobs."""
        wanted = sorted(running)

        def is_reported() -> bool:
            is_quiet = not (self.in_spool("new") or self.in_spool("todo"))
            return is_quiet and self.in_directory("open") == wanted

        self.wait("all to be delivered", is_reported)

    def states(self) -> dict[int, str]:
        """Return the state of each job at the server; of several rows all states."""
        found: dict[int, str] = {}
        for (job, _), state in sorted(self._server.rows().items()):
            found[job] = f"{found[job]}, {state}" if job in found else state
        return found

    def field(self, name: str) -> dict[int, Any]:
        """Return one field of the rows at the server by job id; omit rows without it."""
        return {row["jobId"]: row[name] for row in self.rows() if name in row}

    def run_file(self, job: int) -> dict[str, Any]:
        """Return the run file of a job in `open/`."""
        (path,) = (self.plant.spool / "open").glob(f"{job}-*.json")
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found

    def status(self) -> dict[str, Any]:
        """Return the output of `cc-spool status --json`."""
        found: dict[str, Any] = json.loads(self.run("cc-spool", "status", "--json").stdout)
        return found

    def wait_server(self, version: str | None, dialect: str) -> None:
        """Wait until `cc-spool status` shows a version and dialect, and the drain we started."""
        wanted = {"version": version, "dialect": dialect}
        self.wait(f"{wanted} in status", lambda: self.status()["server"] == wanted)
        assert {"state": "held", "pid": self.pid} == self.status()["lock"]

    def sweep(self, verb: str) -> dict[str, Any]:
        """Run a sweep; return its changes, held runs, reports and guards.

        The first applied sweep only sets its mark.
        """
        argv = [str(Path(sys.executable).parent / "cc-sweep"), verb, "--json"]
        argv += ["-c", str(self.config)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        plan = json.loads(done.stdout)
        return {key: plan[key] for key in ("changes", "held", "reports", "guards") if plan[key]}

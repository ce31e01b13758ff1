"""A drain as a separate process, between a stand-in for Slurm and a stub of cc-backend."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from command_site import TOKEN, CommandSite
from standin_slurm.controller import Controller
from stub_server import StubServer

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 20.0
NODE = {"n2cn0101": [0, 1]}


def until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> float:
    """Wait until a condition holds; return how many seconds that took.

    Raises:
        TimeoutError: the condition did not hold in time.
    """
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.02)
    return time.monotonic() - began


class DrainProcess:
    """A site with a stand-in for Slurm, and a drain that runs during the block."""

    def __init__(self, root: Path, server: StubServer) -> None:
        self.site = CommandSite(root / "site")
        self.slurm = Controller(root / "slurm", "24.11", spool=self.site.spool)
        self.server = server
        commands = {name: str(self.slurm.command(name)) for name in ("squeue", "sacct", "scontrol")}
        self.site.document["slurm"] = commands
        self.site.document["cc-backend"]["host"] = server.url
        self.site.document["spool"]["min_free_bytes"] = 0
        self.site.write()
        self.log = root / "log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def arguments(self) -> list[str]:
        """Return the command line of the drain."""
        return [sys.executable, "-m", "spool.cli", "drain", "-c", str(self.site.config)]

    def start(self, *before: str) -> None:
        """Start the drain; if a command such as strace is given, run the drain under it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*before, *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
                start_new_session=True,
            )

    def end(self) -> int:
        """Stop the drain as systemd does; return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(20)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # killing strace alone leaves the drain
            self.process.wait(20)

    def status(self) -> dict[str, Any]:
        """Return the output of `cc-spool status --json`."""
        document: dict[str, Any] = json.loads(self.site.call("status", "--json").out)
        return document

    def files(self) -> dict[str, list[str]]:
        """Return the names of the files in the spool, without empty directories."""
        names = {d: self.site.names(d) for d in ("new", "todo", "open", "dead")}
        return {directory: found for directory, found in names.items() if found}

    def states(self) -> dict[int, str]:
        """Return the state of every row at the server, by job id."""
        return {job_id: state for (job_id, _), state in self.server.rows().items()}


__all__ = ["NODE", "TOKEN", "DrainProcess", "until"]

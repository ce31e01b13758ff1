"""The daemons of a cluster: started in the foreground, so that their end can be waited for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from slurm_lab.namespaces import Namespaces
from slurm_lab.wait import LabError, wait_until


class Daemon:
    """One daemon: start, stop, kill, restart."""

    def __init__(
        self, namespaces: Namespaces, argv: Sequence[str], *, log: Path, ready: Callable[[], bool]
    ) -> None:
        """Describe a daemon; `ready` tells whether a started one does its work yet."""
        self._namespaces = namespaces
        self._argv = argv
        self._log = log
        self._ready = ready
        self._process: subprocess.Popen[str] | None = None

    def launch(self) -> None:
        """Start it without waiting until it is ready."""
        self._process = self._namespaces.popen(self._argv, log=self._log)

    def wait_ready(self) -> None:
        """Return when it does its work.

        Raises:
            LabError: It ended instead; the message holds the end of its output.
        """
        wait_until(self._ready_or_dead, f"{self._argv[0]} to be ready")
        if not self.running:
            raise LabError(f"{' '.join(self._argv)} ended:\n{self._log.read_text()[-3000:]}")

    def start(self) -> None:
        """Start it and return when it does its work."""
        self.launch()
        self.wait_ready()

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id, seen from outside."""
        if self._process is None:
            raise LabError(f"{self._argv[0]} was never started")
        wait_until(lambda: self._child() is not None, f"the process of {self._argv[0]}")
        return self._child() or 0

    def _child(self) -> int | None:
        """Return the process id of what nsenter has forked; None if there is none."""
        entry = 0 if self._process is None else self._process.pid
        try:
            found = Path(f"/proc/{entry}/task/{entry}/children").read_text().split()
        except OSError:
            return None
        return int(found[0]) if found else None

    def stop(self, number: int = signal.SIGTERM, *, timeout: float = 60) -> None:
        """Send it a signal and return when it has ended; nothing happens if it had ended.

        The signal is repeated: a slurmctld that executes itself anew (`scontrol reconfigure`, from
        23.11 on) may lose one.
        """

        def ended() -> bool:
            child = self._child() if self.running else None
            if child is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, number)
            return self._ends_within(1.0)

        wait_until(ended, f"the end of {self._argv[0]}", timeout=timeout, interval=0)

    def kill(self) -> None:
        """End it as a crash would: it saves nothing."""
        self.stop(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def _ends_within(self, seconds: float) -> bool:
        try:
            return self._process is None or self._process.wait(timeout=seconds) is not None
        except subprocess.TimeoutExpired:
            return False

    def _ready_or_dead(self) -> bool:
        return not self.running or self._ready()

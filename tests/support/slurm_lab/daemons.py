"""The daemons of a cluster, started in the foreground so that the lab can wait for their end."""

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
    """One daemon, which can be started, stopped, killed and restarted."""

    def __init__(
        self, namespaces: Namespaces, argv: Sequence[str], *, log: Path, ready: Callable[[], bool]
    ) -> None:
        """Describe a daemon; `ready` returns whether a started one is ready."""
        self._namespaces = namespaces
        self._argv = argv
        self._log = log
        self._ready = ready
        self._process: subprocess.Popen[str] | None = None

    def launch(self) -> None:
        """Start the daemon without waiting until it is ready."""
        self._process = self._namespaces.popen(self._argv, log=self._log)

    def wait_ready(self) -> None:
        """Return when the daemon is ready.

        Raises:
            LabError: It ended instead; the message holds the end of its output.
        """
        wait_until(self._ready_or_dead, f"{self._argv[0]} to be ready")
        if not self.running:
            raise LabError(f"{' '.join(self._argv)} ended:\n{self._log.read_text()[-3000:]}")

    def start(self) -> None:
        """Start the daemon and return when it is ready."""
        self.launch()
        self.wait_ready()

    @property
    def running(self) -> bool:
        """Whether its process is running."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id outside the namespace."""
        if self._process is None:
            raise LabError(f"{self._argv[0]} was never started")
        wait_until(lambda: self._child() is not None, f"the process of {self._argv[0]}")
        return self._child() or 0

    def _child(self) -> int | None:
        """Return the process id of the child of nsenter; None if there is none."""
        entry = 0 if self._process is None else self._process.pid
        try:
            found = Path(f"/proc/{entry}/task/{entry}/children").read_text().split()
        except OSError:
            return None
        return int(found[0]) if found else None

    def stop(self, number: int = signal.SIGTERM, *, timeout: float = 60) -> None:
        """Send a signal and return when the daemon has ended; do nothing if it had ended before.

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
        """Kill the daemon as a crash would: it saves nothing."""
        self.stop(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the daemon and start it again."""
        self.stop()
        self.start()

    def _ends_within(self, seconds: float) -> bool:
        try:
            return self._process is None or self._process.wait(timeout=seconds) is not None
        except subprocess.TimeoutExpired:
            return False

    def _ready_or_dead(self) -> bool:
        return not self.running or self._ready()

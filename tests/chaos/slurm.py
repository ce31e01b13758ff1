"""A small Slurm: `squeue`, `sacct`, `scontrol` and `sacctmgr` as small scripts on one socket.

Each script sends its name, its arguments and SLURM_TIME_FORMAT to the process that holds the jobs
and prints the answer. Injected faults happen there: the command hangs, is late, fails or is wrong.
"""

from __future__ import annotations

import json
import shutil
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from chaos import slurm_commands
from chaos.injection import Faults, Injected, SlurmFault
from chaos.job import Run
from chaos.slurm_commands import Printed

COMMANDS = ("squeue", "sacct", "scontrol", "sacctmgr")
OLD, NEW = "22.05.8", "24.11.7"
_SCRIPT = """#!{python} -ISs
import _socket, os, sys
s = _socket.socket(_socket.AF_UNIX)
try:
    s.connect({socket!r})
except OSError:
    os.write(2, b"slurm_load_jobs error: Unable to contact slurm controller (connect failure)\\n")
    os._exit(1)
words = [{name!r}, os.environ.get("SLURM_TIME_FORMAT", ""), *sys.argv[1:]]
s.sendall("\\0".join(words).encode() + b"\\n\\n\\n")
parts = []
while c := s.recv(1 << 20):
    parts.append(c)
head, _, rest = b"".join(parts).partition(b"\\n")
status, size = map(int, head.split() or (b"1", b"0"))
out, err = memoryview(rest)[:size], rest[size:]
while out:
    out = out[os.write(1, out):]
os.write(2, err)
os._exit(status)
"""


class Asked(NamedTuple):
    """One call of a command; `at` is monotonic."""

    at: float
    command: str
    words: tuple[str, ...]


class Slurm:
    """The jobs of a cluster and its commands below `root`."""

    def __init__(
        self,
        root: Path,
        release: str = NEW,
        *,
        min_job_age: float = 300.0,
        has_accounting: bool = True,
        has_state_files: bool = True,
    ) -> None:
        self.root = root
        self.release = release
        self.min_job_age = min_job_age
        self.has_accounting = has_accounting
        self.accounting_lag_seconds = 0.0
        self.faults = Faults()
        self.log: list[Asked] = []
        self.now: Callable[[], float] = time.time
        self._runs: dict[int, Run] = {}
        self._accounted: list[Run] = []
        self._lock = threading.RLock()
        self.commands = root / "commands"
        self.state = root / ("state" if has_state_files else "nothing")
        self._has_state_files = has_state_files
        self._server: _Listener | None = None
        self._make()

    @property
    def is_old(self) -> bool:
        """Return whether this is the older of the two releases."""
        return self.release == OLD

    @property
    def is_hanging(self) -> bool:
        """Return whether a command may hang now."""
        return any(
            isinstance(f, SlurmFault) and f.hangs for f in (i.fault for i in self.faults.live)
        )

    def start(self) -> None:
        """Open the socket: from now on the commands answer."""
        path = self.root / "socket"
        path.unlink(missing_ok=True)
        self._server = _Listener(str(path), _Handler)
        self._server.slurm = self
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Close the socket: the commands report that there is no controller."""
        server, self._server = self._server, None
        (self.root / "socket").unlink(missing_ok=True)
        if server is not None:
            server.shutdown()
            server.server_close()

    def begin(self, run: Run) -> None:
        """Let a run start; then only accounting knows an earlier run of the id."""
        with self._lock:
            self._runs[run.job_id] = run
            self._accounted.append(run)
        if run.script is not None and self._has_state_files:
            owner = run.array[0] if run.array else run.job_id
            place = self.state / f"hash.{owner % 10}" / f"job.{owner}"
            place.mkdir(parents=True, exist_ok=True)
            if not (place / "script").exists():  # as slurmctld: written once, when it is submitted
                (place / "new").write_bytes(run.script.encode() + b"\0")
                (place / "new").rename(place / "script")

    def end(self, run: Run, state: str = "COMPLETED") -> None:
        """Let a run end now."""
        with self._lock:
            run.end, run.state = int(self.now()), state
            if run.purge_at is None:
                run.purge_at = time.monotonic() + self.min_job_age

    def visible(self) -> list[Run]:
        """Return the runs that slurmctld has, sorted by job id."""
        with self._lock:
            for run in tuple(self._runs.values()):
                if (
                    run.end is not None
                    and run.purge_at is not None
                    and time.monotonic() >= run.purge_at
                ):
                    self._purge(run)
            return [self._runs[job_id] for job_id in sorted(self._runs)]

    def accounted(self) -> list[Run]:
        """Return the runs that accounting has."""
        with self._lock:
            return [run for run in self._accounted if self._is_accounted(run)]

    def script(self, job_id: int) -> str | None:
        """Return the batch script of a run in memory."""
        run = self._runs.get(job_id)
        return None if run is None else run.script

    def answer(self, command: str, time_format: str, words: list[str]) -> Printed:
        """Answer one call, with the first injected fault that applies."""
        self.log.append(Asked(time.monotonic(), command, tuple(words)))
        injected = self.faults.chosen(lambda fault: _is_meant(fault, command, words))
        if injected is None:
            return slurm_commands.answer(self, command, words, as_epoch=time_format == "%s")
        fault = _waited(injected)
        if fault.status is not None:
            return Printed(fault.status, fault.stdout, fault.stderr)
        printed = slurm_commands.answer(self, command, words, as_epoch=time_format == "%s")
        return (
            printed if fault.alter is None else printed._replace(stdout=fault.alter(printed.stdout))
        )

    def _make(self) -> None:
        self.commands.mkdir(parents=True)
        for digit in range(10 if self._has_state_files else 0):
            (self.state / f"hash.{digit}").mkdir(parents=True)
        for name in COMMANDS:
            text = _SCRIPT.format(
                python=Path(sys.executable).resolve(), socket=str(self.root / "socket"), name=name
            )
            (self.commands / name).write_text(text)
            (self.commands / name).chmod(0o755)

    def _is_accounted(self, run: Run) -> bool:
        """Return whether slurmdbd has a run already: it gets starts and ends with a delay."""
        return self.now() - (run.end or run.start) >= self.accounting_lag_seconds

    def _purge(self, run: Run) -> None:
        del self._runs[run.job_id]
        owner = run.array[0] if run.array else run.job_id
        if not any(each.array and each.array[0] == owner for each in self._runs.values()):
            shutil.rmtree(self.state / f"hash.{owner % 10}" / f"job.{owner}", ignore_errors=True)


def _is_meant(fault: Any, command: str, words: Iterable[str]) -> bool:
    assert isinstance(fault, SlurmFault)
    if fault.command not in (None, command) or "--version" in words:
        return False
    return all(any(word.startswith(start) for word in words) for start in fault.words)


def _waited(injected: Injected) -> SlurmFault:
    fault = injected.fault
    assert isinstance(fault, SlurmFault)
    injected.is_lifted.wait(None if fault.hangs else fault.seconds)
    return fault


class _Listener(socketserver.ThreadingUnixStreamServer):
    """The socket of the commands."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    slurm: Slurm

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing about commands that were killed while they waited."""


class _Handler(socketserver.BaseRequestHandler):
    """One call of one command."""

    def handle(self) -> None:
        """Read the words of a command and send the answer."""
        received = b""
        while not received.endswith(b"\n\n\n"):
            piece = self.request.recv(1 << 16)
            if not piece:
                return
            received += piece
        command, time_format, *words = received[:-3].decode().split("\0")
        assert isinstance(self.server, _Listener)
        printed = self.server.slurm.answer(command, time_format, words)
        head = f"{printed.status} {len(printed.stdout)}\n".encode()
        self.request.sendall(head + printed.stdout + printed.stderr)


def cut(stdout: bytes) -> bytes:
    """Return a wrong answer: the first half of the right one."""
    return stdout[: len(stdout) // 2]


def empty(_: bytes) -> bytes:
    """Return a wrong answer: nothing."""
    return b""


def no_jobs(stdout: bytes) -> bytes:
    """Return a wrong answer: JSON without any job."""
    document = json.loads(stdout)
    return json.dumps(document | {"jobs": []}).encode()

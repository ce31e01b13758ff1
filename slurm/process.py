"""Runs one command with limits on time and output, in its own process group, without a shell.

Whatever ends the wait (time, size, `stop()`, an exception) kills the process group, so nothing that
we started outlives us. The child sees only the environment given here: inherited `SQUEUE_*`,
`SACCT_*`, `SLURM_CLUSTERS` or `SLURM_TIME_FORMAT` would filter or reformat its answer.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Protocol, cast

from slurm.errors import FailureReason, SlurmError

CHUNK_BYTES = 1 << 16
STDERR_BYTES = 1 << 16
SILENCE_SECONDS = 1.0
"""After the command has exited, outputs that are silent for this long count as complete."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a command. `status` is its exit status, -N if signal N ended it."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes


Sink = Callable[[bytes], object]
"""Receives the output in pieces as they arrive; an exception that it raises ends the command."""


class Runner(Protocol):
    """A function that runs a command to its end."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        timeout_seconds: float,
        limit_bytes: int,
        sink: Sink | None = None,
    ) -> CommandResult:
        """Run a command; return its result for any exit status. A sink gets stdout in pieces.

        Raises:
            SlurmError: it could not be started, took too long or printed more than allowed.
        """


class _TooLargeError(Exception):
    """The output exceeded its limit."""


class _CapturedOutput:
    """The output kept in memory: stdout (not with a sink) and the first 64 KiB of stderr."""

    def __init__(self, limit_bytes: int, sink: Sink | None) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.stdout_seen = False
        """Whether stdout has delivered data or was closed."""
        self._left = limit_bytes
        self._sink = sink or self.stdout.extend

    def add_stdout(self, chunk: bytes) -> None:
        self.stdout_seen = True
        self._left -= len(chunk)
        if self._left < 0:
            raise _TooLargeError
        self._sink(chunk)

    def add_stderr(self, chunk: bytes) -> None:
        self.stderr += chunk
        del self.stderr[STDERR_BYTES:]


class ProcessRunner:
    """A runner of processes. `stop()` may be called from any thread or signal handler."""

    def __init__(self, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._silence_seconds = silence_seconds
        self._lock = threading.RLock()  # a signal handler may interrupt its own thread
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def stop(self) -> None:
        """Kill running commands and refuse new ones; callers get `FailureReason.CANCELLED`."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill_group(process)

    def __call__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        timeout_seconds: float,
        limit_bytes: int,
        sink: Sink | None = None,
    ) -> CommandResult:
        """Run `argv` (absolute path first); see `Runner`."""
        deadline = time.monotonic() + timeout_seconds
        process = self._start(argv, environment)
        try:
            output = _CapturedOutput(limit_bytes, sink)
            self._read_output(process, deadline, output)
            # A process may close its outputs and go on: its end has the same deadline.
            status = process.wait(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            message = f"{argv[0]} timed out after {timeout_seconds:g} s"
            raise SlurmError(message, reason=FailureReason.TIMEOUT) from error
        except _TooLargeError as error:
            message = f"{argv[0]} printed more than {limit_bytes} bytes"
            raise SlurmError(message, reason=FailureReason.TOO_LARGE) from error
        finally:
            self._clean_up(process)
        if self._stopped:
            raise SlurmError(f"{argv[0]} was stopped", reason=FailureReason.CANCELLED)
        return CommandResult(tuple(argv), status, bytes(output.stdout), bytes(output.stderr))

    def _start(
        self, argv: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise SlurmError(
                    f"{argv[0]} was not started, because this program is stopping",
                    reason=FailureReason.CANCELLED,
                )
            try:
                process = subprocess.Popen(  # noqa: S603 - an argument list, no shell
                    list(argv),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=dict(environment),
                    cwd="/",
                    # A group of its own: what a wrapper starts (ssh, sudo) is killed with it, and
                    # Ctrl-C on a terminal does not reach it.
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                message = f"cannot run {argv[0]} ({error})"
                hint = "check the command's path in section slurm of the configuration"
                reason = FailureReason.NOT_STARTED
                raise SlurmError(message, reason=reason, hint=hint) from error
            self._running.add(process)
        return process

    def _read_output(
        self, process: subprocess.Popen[bytes], deadline: float, output: _CapturedOutput
    ) -> None:
        """Read both outputs to their ends.

        A process that a site's wrapper leaves behind (ssh with ControlPersist) may keep them open:
        then what was printed is the answer. If nothing came on stdout yet, wait until the deadline.
        """
        with selectors.DefaultSelector() as selector:
            stdout, stderr = _pipes(process)
            selector.register(stdout, selectors.EVENT_READ, output.add_stdout)
            selector.register(stderr, selectors.EVENT_READ, output.add_stderr)
            while selector.get_map():
                # Asked before the wait, so that the whole silence comes after the exit.
                has_exited = _has_exited(process)
                left = deadline - time.monotonic()
                ready = selector.select(max(0.0, min(left, self._silence_seconds)))
                if not ready and has_exited and output.stdout_seen:
                    _kill_group(process)
                    return
                if not ready and left <= self._silence_seconds:
                    raise TimeoutError
                for key, _ in ready:
                    chunk = os.read(key.fd, CHUNK_BYTES)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    key.data(chunk)

    def _clean_up(self, process: subprocess.Popen[bytes]) -> None:
        """Remove what is left of the process: its group, its pipes and the zombie."""
        with self._lock:
            _kill_group(process)
            self._running.discard(process)
        for pipe in _pipes(process):
            pipe.close()
        process.wait()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Return stdout and stderr of a process that was started with pipes for both."""
    return cast("tuple[IO[bytes], IO[bytes]]", (process.stdout, process.stderr))


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a process has exited, without reaping it: the zombie keeps the group's id."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # where SIGCHLD is ignored there are no zombies
        return True


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the group before its leader is reaped, because the id could be reused after that."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):  # another thread has just reaped it
            os.killpg(process.pid, signal.SIGKILL)

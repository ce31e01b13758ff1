"""A command runs with limits of time and output, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from slurm_lab import wait_until

from slurm.errors import FailureReason, SlurmError, UnknownJob, excerpt
from slurm.process import CommandResult, ProcessRunner


def run(
    *script: str,
    timeout_seconds: float = 30,
    limit_bytes: int = 1000,
    runner: ProcessRunner | None = None,
) -> CommandResult:
    """Run a shell script."""
    return (runner or ProcessRunner())(
        ["/bin/sh", "-c", *script],
        environment={"PATH": "/usr/bin:/bin", "X": "y"},
        timeout_seconds=timeout_seconds,
        limit_bytes=limit_bytes,
    )


def test_a_command_returns_status_stdout_and_stderr() -> None:
    """The environment of the command has only the given variables."""
    found = run('printf "%s" "$X"; echo no >&2; echo "$HOME" >&2; exit 3')
    assert (3, b"y", b"no\n\n") == (found.status, found.stdout, found.stderr)


def test_output_is_passed_to_a_sink_in_pieces() -> None:
    """With a sink stdout is not stored, and its limit still applies."""
    pieces: list[bytes] = []
    runner = ProcessRunner()
    found = runner(
        ["/bin/echo", "hello"],
        environment={},
        timeout_seconds=30,
        limit_bytes=6,
        sink=pieces.append,
    )
    assert (b"", b"hello\n") == (found.stdout, b"".join(pieces))
    with pytest.raises(SlurmError) as caught:
        runner(["/bin/echo", "hello"], environment={}, timeout_seconds=30, limit_bytes=5, sink=len)
    assert FailureReason.TOO_LARGE is caught.value.reason


def test_an_error_of_a_sink_ends_the_command(tmp_path: Path) -> None:
    """An answer that is refused while it is read leaves no process behind."""

    def refuse(_piece: bytes) -> None:
        raise SlurmError("no", reason=FailureReason.MALFORMED)

    pid = tmp_path / "pid"
    with pytest.raises(SlurmError):
        ProcessRunner()(
            ["/bin/sh", "-c", f"echo $$ > {pid}; echo x; sleep 600"],
            environment={"PATH": "/usr/bin:/bin"},
            timeout_seconds=60,
            limit_bytes=10,
            sink=refuse,
        )
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_too_much_output_is_refused() -> None:
    """A command that prints without end is stopped at the limit."""
    with pytest.raises(SlurmError) as caught:
        run("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxx; done")
    assert FailureReason.TOO_LARGE is caught.value.reason


def test_only_the_beginning_of_stderr_is_stored() -> None:
    """The first 64 KiB of stderr are stored, and the rest does not block the command."""
    found = run("head -c 300000 /dev/zero >&2; echo end")
    assert (b"end\n", 1 << 16) == (found.stdout, len(found.stderr))


@pytest.mark.parametrize("script", ["sleep 600", "exec >&- 2>&-; sleep 600"])
def test_slow_command_is_killed_with_its_children(script: str, tmp_path: Path) -> None:
    """The command and the processes that it started are killed at the time limit."""
    pid = tmp_path / "pid"
    with pytest.raises(SlurmError) as caught:
        run(f"sleep 600 & echo $! > {pid}; {script}", timeout_seconds=0.5)
    assert FailureReason.TIMEOUT is caught.value.reason
    child = int(pid.read_text())
    wait_until(lambda: not is_alive(child), "the child is gone", timeout=10)


@pytest.mark.parametrize("redirection", ["", ">&-", "2>&-"])
def test_a_leftover_child_does_not_delay_the_answer(redirection: str, tmp_path: Path) -> None:
    """A child of the command keeps an output open; the answer is complete, the child is killed."""
    pid = tmp_path / "pid"
    script = f"sleep 600 {redirection} & echo $! > {pid}; echo answer; exit 3"
    found = run(script, runner=ProcessRunner(silence_seconds=0.05))

    assert (3, b"answer\n") == (found.status, found.stdout)
    child = int(pid.read_text())
    wait_until(lambda: not is_alive(child), "the child is gone", timeout=10)


def test_the_output_of_a_leftover_child_is_waited_for() -> None:
    """The command has ended with an empty stdout: its child may still print the answer."""
    runner = ProcessRunner(silence_seconds=0.05)

    assert b"late\n" == run("(sleep 0.2; echo late) & exit 0", runner=runner).stdout
    with pytest.raises(SlurmError) as caught:
        run("sleep 600 & exit 0", timeout_seconds=0.2, runner=runner)
    assert FailureReason.TIMEOUT is caught.value.reason


def test_a_command_is_read_while_sigchld_is_ignored() -> None:
    """With SIGCHLD ignored no zombie process shows that the command has ended."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        found = run("sleep 600 & echo answer", runner=ProcessRunner(silence_seconds=0.05))
    finally:
        signal.signal(signal.SIGCHLD, before)

    assert b"answer\n" == found.stdout


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("argv", [["/no/such/command"], ["/dev/null"], ["/bin/x\0y"]])
def test_command_that_cannot_be_run_is_an_error(argv: Sequence[str]) -> None:
    """The error has a hint to check the path."""
    with pytest.raises(SlurmError) as caught:
        ProcessRunner()(argv, environment={}, timeout_seconds=1, limit_bytes=1)
    assert FailureReason.NOT_STARTED is caught.value.reason
    assert "path" in caught.value.hint


def test_stop_ends_running_commands_and_refuses_new_ones() -> None:
    """A service that ends does not wait for a command of 10 min."""
    runner = ProcessRunner()
    threading.Timer(0.2, runner.stop).start()
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(SlurmError) as caught:
            run("sleep 600", timeout_seconds=600, runner=runner)
        assert FailureReason.CANCELLED is caught.value.reason
    assert time.monotonic() - began < 60


def test_a_command_killed_by_a_signal_has_a_negative_status() -> None:
    """The status is the negative number of the signal."""
    assert -signal.SIGKILL == run("kill -9 $$").status


def test_errors_are_printable() -> None:
    """Escape sequences of a command's stderr never reach a log; long text is truncated."""
    error = SlurmError("x", reason=FailureReason.FAILED, stderr=b"\x1b[2J" + b"a" * 300)
    assert error.stderr.startswith("\\x1b[2Ja")
    assert 200 == len(error.stderr)
    assert "x: \\x1b[2J" in str(error)
    assert "does not know the job" in str(UnknownJob())
    assert "a" == excerpt(" a ")

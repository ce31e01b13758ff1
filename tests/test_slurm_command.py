"""A command runs bounded in time and output, alone, and leaves nothing behind."""

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


def test_answer_has_status_and_both_outputs() -> None:
    """What it printed and how it ended come back; the environment is ours alone."""
    found = run('printf "%s" "$X"; echo no >&2; echo "$HOME" >&2; exit 3')
    assert (3, b"y", b"no\n\n") == (found.status, found.stdout, found.stderr)


def test_output_goes_to_a_sink_in_pieces() -> None:
    """With a sink nothing of stdout is kept, and its limit still counts."""
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


def test_what_a_sink_raises_ends_the_command(tmp_path: Path) -> None:
    """An answer that is refused while it comes leaves no process behind."""

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


def test_much_on_stderr_is_kept_in_part() -> None:
    """Of stderr the beginning is enough, and it does not block the command."""
    found = run("head -c 300000 /dev/zero >&2; echo end")
    assert (b"end\n", 1 << 16) == (found.stdout, len(found.stderr))


@pytest.mark.parametrize("script", ["sleep 600", "exec >&- 2>&-; sleep 600"])
def test_slow_command_is_killed_with_its_children(script: str, tmp_path: Path) -> None:
    """Neither the command nor what it started outlives its time."""
    pid = tmp_path / "pid"
    with pytest.raises(SlurmError) as caught:
        run(f"sleep 600 & echo $! > {pid}; {script}", timeout_seconds=0.5)
    assert FailureReason.TIMEOUT is caught.value.reason
    child = int(pid.read_text())
    wait_until(lambda: not is_alive(child), "the child is gone", timeout=10)


@pytest.mark.parametrize("redirection", ["", ">&-", "2>&-"])
def test_what_a_command_leaves_behind_does_not_hold_its_answer(
    redirection: str, tmp_path: Path
) -> None:
    """A child of a wrapper keeps the outputs open; the answer is complete, and the child killed."""
    pid = tmp_path / "pid"
    script = f"sleep 600 {redirection} & echo $! > {pid}; echo answer; exit 3"
    found = run(script, runner=ProcessRunner(silence_seconds=0.05))

    assert (3, b"answer\n") == (found.status, found.stdout)
    child = int(pid.read_text())
    wait_until(lambda: not is_alive(child), "the child is gone", timeout=10)


def test_a_silent_answer_of_what_a_command_leaves_behind_is_waited_for() -> None:
    """Nothing on stdout yet: it may be slow."""
    runner = ProcessRunner(silence_seconds=0.05)

    assert b"late\n" == run("(sleep 0.2; echo late) & exit 0", runner=runner).stdout
    with pytest.raises(SlurmError) as caught:
        run("sleep 600 & exit 0", timeout_seconds=0.2, runner=runner)
    assert FailureReason.TIMEOUT is caught.value.reason


def test_a_command_is_read_where_sigchld_is_ignored() -> None:
    """Then the kernel leaves no zombie that would tell its end."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        found = run("sleep 600 & echo answer", runner=ProcessRunner(silence_seconds=0.05))
    finally:
        signal.signal(signal.SIGCHLD, before)

    assert b"answer\n" == found.stdout


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("argv", [["/no/such/command"], ["/dev/null"], ["/bin/x\0y"]])
def test_command_that_cannot_be_run_says_so(argv: Sequence[str]) -> None:
    """A wrong path is an error with a hint."""
    with pytest.raises(SlurmError) as caught:
        ProcessRunner()(argv, environment={}, timeout_seconds=1, limit_bytes=1)
    assert FailureReason.NOT_STARTED is caught.value.reason
    assert "path" in caught.value.hint


def test_stop_ends_what_runs_and_refuses_what_comes() -> None:
    """A service that ends does not wait for a command of 10 min."""
    runner = ProcessRunner()
    threading.Timer(0.2, runner.stop).start()
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(SlurmError) as caught:
            run("sleep 600", timeout_seconds=600, runner=runner)
        assert FailureReason.CANCELLED is caught.value.reason
    assert time.monotonic() - began < 60


def test_command_that_dies_by_a_signal_says_which() -> None:
    """The status is the negative number of the signal."""
    assert -signal.SIGKILL == run("kill -9 $$").status


def test_errors_are_told_in_printable_words() -> None:
    """Escape sequences of a command's stderr never reach a log; long ones are cut."""
    error = SlurmError("x", reason=FailureReason.FAILED, stderr=b"\x1b[2J" + b"a" * 300)
    assert error.stderr.startswith("\\x1b[2Ja")
    assert 200 == len(error.stderr)
    assert "x: \\x1b[2J" in str(error)
    assert "does not know the job" in str(UnknownJob())
    assert "a" == excerpt(" a ")

"""Commands whose streams are closed, full, no terminal, or not read to the end."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import call
from console_steps import ended, raising

from spool import console


def test_output_before_an_internal_error_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """`run_command` flushes stdout after an error, because a quick exit would not do so."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, write_through=False))

    def work() -> int:
        print("half an answer")
        raise KeyError("odd")

    console.run_command(work)

    assert b"half an answer\n" == written.getvalue()


@pytest.mark.parametrize(
    ("stream", "environment", "is_welcome"),
    [
        ("terminal", {"TERM": "xterm"}, True),
        ("terminal", {"TERM": "dumb"}, False),
        ("terminal", {"TERM": "xterm", "NO_COLOR": ""}, False),
        ("file", {"TERM": "xterm"}, False),
    ],
)
def test_progress_is_shown_only_on_terminals(
    monkeypatch: pytest.MonkeyPatch, stream: str, environment: dict[str, str], *, is_welcome: bool
) -> None:
    """NO_COLOR, TERM=dumb or output to a file switch progress lines off."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: stream == "terminal")

    assert is_welcome is console.is_terminal(file)


def test_a_reader_that_closes_the_pipe_is_no_error() -> None:
    """`cc-spool list | head`: no message, no traceback, exit code 0."""
    script = (
        "import sys; from spool import console, log_output\n"
        "log_output.start_logging('cc-test')\n"
        "def work():\n"
        "    while True: console.print_line('line')\n"
        "sys.exit(console.run_command(work))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    ) as child:
        assert child.stdout
        assert child.stderr
        child.stdout.readline()
        child.stdout.close()
        err = child.stderr.read()

    assert (0, b"") == (child.returncode, err)


def test_output_after_a_broken_pipe_is_dropped(tmp_path: Path) -> None:
    """The command ends with exit code 0, and the rest of the buffer is not written."""
    with (tmp_path / "out").open("w") as out:

        def program(_: object) -> int:
            sys.stdout = out
            return console.run_command(raising(BrokenPipeError()))

        said = call(program=program)
        out.write("dropped")

    assert 0 == said.code
    assert "" == (tmp_path / "out").read_text()


NO_SPACE = OSError(28, "No space left on device")


class Unwritable(io.StringIO):
    """A stream that fails when text is written or flushed."""

    def __init__(self, *, error: OSError, at: str) -> None:
        super().__init__()
        self._error, self._at = error, at

    def write(self, text: str) -> int:
        """Raise the error if the stream fails at `write`."""
        if self._at == "write":
            raise self._error
        return super().write(text)

    def flush(self) -> None:
        """Raise the error if the stream fails at `flush`."""
        if self._at == "flush":
            raise self._error


@pytest.mark.parametrize("at", ["write", "flush"])
@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (NO_SPACE, 74, "the output could not be written to stdout: No space left on device"),
        (OSError(9, "Bad file descriptor"), 74, "written to stdout: Bad file descriptor"),
        (PermissionError(1, "Operation not permitted"), 74, "stdout: Operation not permitted"),
        (BrokenPipeError(32, "Broken pipe"), 0, ""),
    ],
)
def test_output_that_cannot_be_written_is_one_error_line(
    error: OSError, code: int, words: str, at: str
) -> None:
    """The exit code is 74; a closed pipe is no error."""

    def work() -> int:
        sys.stdout = Unwritable(error=error, at=at)
        console.print_line("x")
        return 0

    said = ended(work)

    assert (code, bool(words)) == (said.code, len(said.err.splitlines()) == 1)
    assert words in said.err


def test_messages_that_cannot_be_written_change_no_exit_code(tmp_path: Path) -> None:
    """If the disk with stderr is full, messages are dropped and the exit code 11 stays."""

    class Log(Unwritable):
        def fileno(self) -> int:
            return file.fileno()

    with (tmp_path / "log").open("w") as file:

        def work() -> int:
            sys.stderr = Log(error=NO_SPACE, at="flush")
            return 11

        said = ended(work)
        file.write("dropped")

    assert (11, "") == (said.code, (tmp_path / "log").read_text())


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_closed_streams_are_opened_on_dev_null(
    monkeypatch: pytest.MonkeyPatch, closed: int
) -> None:
    """A file that we open could otherwise get the number of a standard stream: 0, 1 or 2."""
    opened: list[tuple[str, int]] = []

    def fstat(fd: int) -> None:
        if fd == closed:
            raise OSError(9, "Bad file descriptor")

    def program(_: object) -> int:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fstat", fstat)
            patched.setattr(os, "open", lambda *how: opened.append(how))
            console.open_standard_streams()
        return 0

    call(program=program)

    assert [("/dev/null", os.O_WRONLY if closed == 2 else os.O_RDONLY)] == opened


def test_standard_streams_that_are_none_are_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python sets sys.stdout to None if the stream was closed when Python started."""

    def program(_: object) -> int:
        with monkeypatch.context() as patched:
            for name in ("stdin", "stdout", "stderr"):
                patched.setattr(sys, name, None)
            console.open_standard_streams()
            streams = (sys.stdin, sys.stdout, sys.stderr)
            return int("".join(str(stream.fileno()) for stream in streams))

    assert 12 == call(program=program).code  # 0, 1, 2

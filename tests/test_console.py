"""What commands say: escaped, without secrets, and every end as a line and an exit code."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said, call

from ccbackend.errors import TokenError
from slurm.errors import FailureReason, SlurmError
from spool import console, exit_codes, log_output
from spool.errors import (
    BadFileError,
    ConfigError,
    ConfigProblem,
    SpoolError,
    SpoolLockedError,
)

SECRET = 'made-up"token\\with é'
JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
_log = logging.getLogger("test")


def ended(
    work: Callable[[], int],
    *,
    level: str = "info",
    form: str = "text",
    log_file: Path | None = None,
) -> Said:
    """Run some work as a command."""

    def program(_: object) -> int:
        log_output.start_logging("cc-test")
        log_output.set_log(level, form)
        if log_file is not None:
            log_output.log_to_file(log_file)
        return console.run_command(work)

    return call(program=program)


def raising(error: BaseException) -> Callable[[], int]:
    """Return work that ends with an exception."""

    def work() -> int:
        raise error

    return work


def saying(words: str, *arguments: object, level: int = logging.INFO) -> Callable[[], int]:
    """Return work that logs one message."""

    def work() -> int:
        _log.log(level, words, *arguments)
        return exit_codes.OK

    return work


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            ConfigError("/c", (ConfigProblem(path="a.b", problem="bad", hint="mend"),)),
            78,
            "/c: 1 problem\n|  a.b: bad; m",
        ),
        (
            ConfigError(
                "/c", (ConfigProblem(path="a.b", problem="closed", hint="chmod", is_denied=True),)
            ),
            77,
            "/c: 1 problem\n|  a.b: closed; chmod",
        ),
        (
            ConfigError(
                "/c",
                (
                    ConfigProblem(path="a.b", problem="closed", hint="chmod", is_denied=True),
                    ConfigProblem(path="c", problem="bad", hint="mend"),
                ),
            ),
            78,
            "/c: 2 problems",
        ),
        (SpoolError("/s", "missing", "create it"), 78, "/s: missing; create it"),
        (SpoolLockedError("/l", "process 5"), 75, "the lock /l is held by process 5"),
        (SlurmError("squeue failed", reason=FailureReason.FAILED), 69, "squeue failed"),
        (TokenError("/t", "a link", "a file"), 77, "/t: a link; a file"),
        (PermissionError(13, "Permission denied", "/p"), 77, "/p: Permission denied"),
        (OSError(28, "No space left on device", "/f"), 75, "/f: No space left on device"),
        (OSError("odd"), 75, "odd"),
        (
            BadFileError("5-1.json", "odd"),
            1,
            "internal error (BadFileError: 5-1.json: odd); please report it with the log",
        ),
        (KeyError("x"), 1, "internal error (KeyError: 'x'); please report it with the log"),
        (KeyboardInterrupt(), 75, "interrupted; no file is half-written"),
    ],
)
def test_every_error_is_a_line_and_an_exit_code(
    error: BaseException, code: int, words: str
) -> None:
    """The program's name stands before it."""
    said = ended(raising(error))
    lines = [line.partition(": ")[2].partition(": ")[2] for line in said.err.splitlines()]

    assert code == said.code
    assert "\n|".join(lines).startswith(words)
    assert said.err.startswith("cc-test: ")


def test_a_refused_right_behind_an_error_counts() -> None:
    """A spool that may not be opened is no mistake in the configuration."""
    error = SpoolError("/s", "Permission denied", "become the service user")
    error.__cause__ = PermissionError(13, "Permission denied")

    assert 77 == exit_codes.exit_code_of(error)


def test_only_bugs_have_a_traceback() -> None:
    """One line of the log each."""
    bug, error = ended(raising(ValueError("odd"))), ended(raising(OSError("odd")))

    assert "cc-test" not in bug.err.splitlines()[1]
    assert "Traceback (most recent call last):" in bug.err
    assert 1 == len(error.err.splitlines())


def test_the_answer_is_returned_as_the_exit_code() -> None:
    """Whatever the command says."""
    assert 11 == ended(lambda: 11).code


def test_commands_write_files_that_others_cannot_read() -> None:
    """Whoever started them."""
    seen: list[int] = []

    def work() -> int:
        seen.append(os.umask(0o027))
        return 0

    ended(work)

    assert [0o027] == seen


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (logging.INFO, "cc-test: hello\n"),
        (logging.WARNING, "cc-test: warning: hello\n"),
        (logging.ERROR, "cc-test: error: hello\n"),
        (logging.DEBUG, ""),
    ],
)
def test_a_level_is_a_word_before_the_message(level: int, words: str) -> None:
    """None for plain information; debugging is not shown."""
    assert words == ended(saying("hello", level=level)).err


def test_debugging_is_shown_on_demand() -> None:
    """That of libraries, which log requests, is not."""

    def work() -> int:
        _log.debug("ours")
        logging.getLogger("urllib3").debug("theirs")
        return 0

    assert "cc-test: debug: ours\n" == ended(work, level="debug").err


def test_less_is_shown_on_demand() -> None:
    """Only errors, for example."""

    def work() -> int:
        _log.warning("odd")
        _log.error("bad")
        return 0

    assert "cc-test: error: bad\n" == ended(work, level="error").err


def test_messages_as_json_are_objects_with_what_they_say_of_a_job(tmp_path: Path) -> None:
    """On stderr and in a file; escaped, without secrets."""

    def work() -> int:
        _log.info("job=%d cluster=%s start=%d outcome=%s", 5, "alex", 100, "delivered")
        _log.warning("odd\nword %s", JWT)
        return 0

    said = ended(work, form="json")
    ended(work, form="json", log_file=tmp_path / "log")
    first, second = map(json.loads, said.err.splitlines())

    assert {
        "job": 5,
        "cluster": "alex",
        "start": 100,
        "outcome": "delivered",
    }.items() <= first.items()
    assert ("info", "warning") == (first["level"], second["level"])
    assert "odd\\x0aword ***" == second["message"]
    assert first["time"].startswith("20")
    assert ["info", "warning"] == [
        json.loads(line)["level"] for line in (tmp_path / "log").read_text().splitlines()
    ]


def test_a_traceback_is_a_list_in_json() -> None:
    """The message stays one line."""
    said = ended(raising(ZeroDivisionError("x")), form="json")
    (found,) = map(json.loads, said.err.splitlines())

    assert "critical" == found["level"]
    assert "Traceback (most recent call last):" == found["traceback"][0]


class Journal(io.StringIO):
    """A stream that has a file descriptor."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.fd = fd

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.fd


@pytest.mark.parametrize(
    ("inode", "expected"),
    [
        (0, ["<6>fine", "<4>warning: odd", "<3>error: bad"]),
        (1, ["cc-test: fine", "cc-test: warning: odd", "cc-test: error: bad"]),
    ],
)
def test_lines_for_the_journal_begin_with_their_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inode: int, expected: list[str]
) -> None:
    """Only if stderr is the file that systemd names; the journal shows the program itself."""
    with (tmp_path / "stream").open("w") as file:
        status = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + inode}")
        stream = Journal(file.fileno())

        def program(_: object) -> int:
            sys.stderr = stream
            log_output.start_logging("cc-test")
            _log.info("fine")
            _log.warning("odd")
            _log.error("bad")
            return 0

        call(program=program)

    assert expected == stream.getvalue().splitlines()


def test_each_line_of_a_traceback_has_its_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the journal would take them for information."""
    with (tmp_path / "stream").open("w") as file:
        status = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        stream = Journal(file.fileno())

        def program(_: object) -> int:
            sys.stderr = stream
            log_output.start_logging("cc-test")
            return console.run_command(raising(ZeroDivisionError("x")))

        call(program=program)

    assert {"<2>"} == {line[:3] for line in stream.getvalue().splitlines()}


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "\r", "\0", "\u202e", "é"])
def test_no_control_character_is_shown(text: str) -> None:
    """Neither in the log nor in the answer."""

    def work() -> int:
        _log.info("%s", text)
        console.print_line(text)
        console.print_json({text: text})
        return 0

    said = ended(work)

    assert 1 == len(said.err.splitlines())
    assert (said.out + said.err).replace("\n", "").isprintable()
    assert (said.out + said.err).isascii()


def test_warnings_of_python_are_logged() -> None:
    """As one line."""

    def work() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("odd\nthing", UserWarning, stacklevel=1)
        return 0

    assert 1 == len(ended(work).err.splitlines())


def test_the_same_fault_is_said_once_and_later_with_a_count(tmp_path: Path) -> None:
    """To each place it is logged to; what is said in between counts for itself."""

    def work() -> int:
        for created in (0, 1, 599, 600, 601, 1300):
            record = _log.makeRecord("test", logging.WARNING, "x", 1, "away", (), None)
            record.created = created
            _log.handle(record)
        _log.warning("other")
        return 0

    said = [
        line.partition("warning: ")[2]
        for text in (ended(work).err, _logged(work, tmp_path / "log"))
        for line in text.splitlines()
    ]

    expected = ["away", "away (equal messages suppressed: 2)"]
    expected += ["away (equal messages suppressed: 1)", "other"]
    assert expected * 2 == said


def _logged(work: Callable[[], int], path: Path) -> str:
    """Return what is in the log file afterwards."""
    ended(work, log_file=path)
    return path.read_text()


def test_plain_information_may_be_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """So may tracebacks; and only so many faults are remembered."""
    monkeypatch.setattr(log_output, "_MAX_REMEMBERED", 2)

    def work() -> int:
        for words in ("a", "a", "b", "c", "a"):
            _log.info("told %s", words)
            _log.warning("%s", words)
        return 0

    assert ["told a", "warning: a", "told a", "told b", "warning: b"] == [
        line.partition(": ")[2] for line in ended(work).err.splitlines()
    ][:5]
    assert 9 == len(ended(work).err.splitlines())


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a secret that is hidden."""
    monkeypatch.setattr(console, "_secrets", set())
    return console.hide_secret(SECRET)


def test_a_secret_is_hidden_wherever_it_is_said(secret: str, tmp_path: Path) -> None:
    """In messages, their arguments, tracebacks, answers, JSON, the log file, and as repr."""

    def work() -> int:
        _log.error("got %s", secret)
        _log.error("got %r", [secret])
        console.print_line(f"x{secret}x")
        console.print_json({"token": secret, secret: 1})
        raise ValueError(f"no good: {secret}")

    said = ended(work, log_file=tmp_path / "log")
    everything = said.out + said.err + (tmp_path / "log").read_text()

    assert 1 == said.code
    assert "made-up" not in everything
    assert "x***x" in said.out
    assert "ValueError: no good: ***" in everything


def test_what_was_printed_before_an_error_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick command ends without freeing its streams."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, write_through=False))

    def work() -> int:
        print("half an answer")
        raise KeyError("odd")

    console.run_command(work)

    assert b"half an answer\n" == written.getvalue()


def test_a_secret_in_a_chain_of_exceptions_is_hidden(secret: str) -> None:
    """Every link of it is printed."""

    def work() -> int:
        raise RuntimeError("second") from KeyError(secret)

    said = ended(work)

    assert "RuntimeError: second" in said.err
    assert "made-up" not in said.err


def test_a_secret_in_a_dying_thread_is_hidden(secret: str) -> None:
    """Python would print its traceback itself."""

    def die() -> None:
        raise ValueError(secret)

    def work() -> int:
        thread = threading.Thread(target=die)
        thread.start()
        thread.join()
        return 0

    said = ended(work)

    assert "internal error in a thread" in said.err
    assert "made-up" not in said.err


def test_what_looks_like_a_token_is_hidden_unasked() -> None:
    """A server may echo it, an old one may stand in a file; also when cut."""
    said = ended(saying("got %s and %s", JWT, JWT[:20]))

    assert "cc-test: got *** and ***\n" == said.err


def test_a_secret_of_a_few_letters_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hide every second word."""
    monkeypatch.setattr(console, "_secrets", set())
    console.hide_secret("a")

    assert "data" == console.safe_line("data")


def test_a_long_secret_is_hidden_before_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old token may be the beginning of the new one."""
    monkeypatch.setattr(console, "_secrets", set())
    console.hide_secret("made-up")
    console.hide_secret("made-up-too")

    assert "***" == console.safe_line("made-up-too")


def test_a_log_file_has_times_and_leaves_errors_on_stderr(tmp_path: Path) -> None:
    """Cron mails them."""

    def work() -> int:
        _log.info("fine")
        _log.error("bad")
        return 0

    said = ended(work, log_file=tmp_path / "log")
    lines = (tmp_path / "log").read_text().splitlines()

    assert "cc-test: error: bad\n" == said.err
    assert ["fine", "error: bad"] == [line.partition(" ")[2] for line in lines]
    assert lines[0][:4].isdigit()


def test_a_log_file_may_be_moved_away(tmp_path: Path) -> None:
    """As logrotate does."""

    def work() -> int:
        _log.info("first")
        (tmp_path / "log").rename(tmp_path / "log.1")
        _log.info("second")
        return 0

    ended(work, log_file=tmp_path / "log")

    assert ["first", "second"] == [
        (tmp_path / name).read_text().split()[1] for name in ("log.1", "log")
    ]


@pytest.mark.parametrize(
    ("stream", "environment", "is_welcome"),
    [
        ("terminal", {"TERM": "xterm"}, True),
        ("terminal", {"TERM": "dumb"}, False),
        ("terminal", {"TERM": "xterm", "NO_COLOR": ""}, False),
        ("file", {"TERM": "xterm"}, False),
    ],
)
def test_progress_is_for_terminals(
    monkeypatch: pytest.MonkeyPatch, stream: str, environment: dict[str, str], *, is_welcome: bool
) -> None:
    """And not for those who declined."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: stream == "terminal")

    assert is_welcome is console.is_terminal(file)


def test_a_reader_that_goes_away_is_fine() -> None:
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


def test_a_reader_that_goes_away_ends_the_command(tmp_path: Path) -> None:
    """What is still in the buffer is dropped."""
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
    """A stream that takes text only until it is written or flushed."""

    def __init__(self, *, error: OSError, at: str) -> None:
        super().__init__()
        self._error, self._at = error, at

    def write(self, text: str) -> int:
        """Refuse the text, if this is where the stream fails."""
        if self._at == "write":
            raise self._error
        return super().write(text)

    def flush(self) -> None:
        """Refuse what is there, if this is where the stream fails."""
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
def test_an_answer_that_cannot_be_written_is_one_line(
    error: OSError, code: int, words: str, at: str
) -> None:
    """Exit code 74; a reader that goes away is none of it."""

    def work() -> int:
        sys.stdout = Unwritable(error=error, at=at)
        console.print_line("x")
        return 0

    said = ended(work)

    assert (code, bool(words)) == (said.code, len(said.err.splitlines()) == 1)
    assert words in said.err


def test_messages_that_cannot_be_written_change_no_exit_code(tmp_path: Path) -> None:
    """They are dropped."""

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
    """No file of ours may take their number."""
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


def test_python_has_its_streams_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sets those to None that were closed when it started."""

    def program(_: object) -> int:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", None)
            patched.setattr(sys, "stderr", None)
            console.open_standard_streams()
            return 10 * sys.stdout.fileno() + sys.stderr.fileno()

    assert 12 == call(program=program).code

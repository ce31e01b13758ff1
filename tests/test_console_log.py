"""Logging of commands: levels, JSON, priorities for the journal, repeated lines, a log file."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import call
from console_steps import JWT, ended, raising, saying

from spool import console, log_output

_log = logging.getLogger("test")


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (logging.INFO, "cc-test: hello\n"),
        (logging.WARNING, "cc-test: warning: hello\n"),
        (logging.ERROR, "cc-test: error: hello\n"),
        (logging.DEBUG, ""),
    ],
)
def test_the_level_is_printed_before_the_message(level: int, words: str) -> None:
    """An INFO message has no such word, and DEBUG messages are not shown."""
    assert words == ended(saying("hello", level=level)).err


def test_debug_messages_are_shown_if_requested() -> None:
    """Debug messages of libraries, which log requests, are not shown."""

    def work() -> int:
        _log.debug("ours")
        logging.getLogger("urllib3").debug("theirs")
        return 0

    assert "cc-test: debug: ours\n" == ended(work, level="debug").err


def test_a_higher_level_shows_fewer_messages() -> None:
    """With the level `error` warnings are not shown."""

    def work() -> int:
        _log.warning("odd")
        _log.error("bad")
        return 0

    assert "cc-test: error: bad\n" == ended(work, level="error").err


def test_messages_as_json_are_objects_with_fields_of_the_job(tmp_path: Path) -> None:
    """JSON is on stderr and in a log file; text is escaped and secrets are hidden."""

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
    """The JSON object has the lines of the traceback in a list, besides the message."""
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
    """If stderr is not the journal's stream, lines begin with the program's name instead."""
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
    """Without `<2>` the journal would show these lines with the priority of information."""
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
    """Log, text output and JSON have only printable ASCII; all other characters are escaped."""

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
    """A warning of Python's `warnings` module is one line, even if its text has two."""

    def work() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("odd\nthing", UserWarning, stacklevel=1)
        return 0

    assert 1 == len(ended(work).err.splitlines())


def test_an_equal_message_is_suppressed_and_later_counted(tmp_path: Path) -> None:
    """Equal warnings are shown once in 600 s; stderr and the log file count separately."""

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
    """Return the contents of the log file after the command."""
    ended(work, log_file=path)
    return path.read_text()


def test_equal_info_messages_are_not_suppressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only warnings are remembered and suppressed, and only a limited number of them."""
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


def test_a_log_file_has_times_and_leaves_errors_on_stderr(tmp_path: Path) -> None:
    """Errors are written to the log file and to stderr, so that cron sends them by mail."""

    def work() -> int:
        _log.info("fine")
        _log.error("bad")
        return 0

    said = ended(work, log_file=tmp_path / "log")
    lines = (tmp_path / "log").read_text().splitlines()

    assert "cc-test: error: bad\n" == said.err
    assert ["fine", "error: bad"] == [line.partition(" ")[2] for line in lines]
    assert lines[0][:4].isdigit()


def test_a_moved_log_file_is_created_again(tmp_path: Path) -> None:
    """After logrotate has moved the file, the next message is written to a new one."""

    def work() -> int:
        _log.info("first")
        (tmp_path / "log").rename(tmp_path / "log.1")
        _log.info("second")
        return 0

    ended(work, log_file=tmp_path / "log")

    assert ["first", "second"] == [
        (tmp_path / name).read_text().split()[1] for name in ("log.1", "log")
    ]


def _lines_without_file(directory: Path) -> list[str]:
    """Return stderr of a command whose log directory is missing during two messages."""
    directory.mkdir()

    def work() -> int:
        moved = directory.with_name("moved")
        directory.rename(moved)
        _log.info("lost")
        _log.info("lost too")
        moved.rename(directory)
        _log.info("back")
        return 0

    return ended(work, log_file=directory / "log").err.splitlines()


def test_a_command_continues_if_its_log_file_cannot_be_reopened(tmp_path: Path) -> None:
    """While the log directory is missing, stderr has one error and the messages are lost."""
    path = tmp_path / "logs" / "log"
    expected = f"cc-test: error: cannot write the log file {path}: No such file or directory"

    assert [f"{expected}; messages are lost"] == _lines_without_file(path.parent)


def test_a_log_file_is_used_again_when_it_can_be_opened(tmp_path: Path) -> None:
    """When the directory of the file exists again, messages are written without a restart."""
    _lines_without_file(tmp_path / "logs")

    assert (tmp_path / "logs" / "log").read_text().endswith(" back\n")


def test_an_invalid_message_is_not_an_error_of_the_log_file(tmp_path: Path) -> None:
    """A log format that does not match its arguments is a bug: a traceback is shown."""
    said = ended(saying("%d", "x"), log_file=tmp_path / "log")

    assert "TypeError: %d format" in said.err
    assert "cannot write" not in said.err

"""The output of the commands: results on stdout, messages on stderr, one line each.

Every line passes through here, so no foreign control character and no token reaches a terminal or a
log: `hide_secret` registers a secret, and text that looks like a JWT is always hidden. Only
`run_command` turns exceptions into a line and an exit code.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from ccbackend.errors import TokenError
from slurm.errors import SlurmError
from spool import exit_codes
from spool.errors import ConfigError, OutputError, SpoolError, SpoolLockedError
from spool.escaping import escape

MAX_LINE_CHARACTERS = 20_000
REPEAT_SECONDS = 600
HIDDEN = "***"
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){0,2}", re.ASCII)
_MIN_SECRET_CHARACTERS = 4  # hiding shorter texts would hide ordinary words
_MAX_REMEMBERED = 1000
_secrets: set[str] = set()
_log = logging.getLogger(__name__)


def hide_secret(secret: str) -> str:
    """Hide a secret in all output from now on; return it."""
    if len(secret) >= _MIN_SECRET_CHARACTERS:
        _secrets.update({secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]})
    return secret


def safe_line(text: str) -> str:
    """Return a line that is safe to print: without secrets, only printable ASCII."""
    return escape(_without_secrets(text), MAX_LINE_CHARACTERS)


def print_line(line: str = "") -> None:
    """Write one line of the result to stdout."""
    write_output(safe_line(line) + "\n")


def print_json(value: Any) -> None:
    """Write the result as one JSON document to stdout."""
    for line in json.dumps(value, indent=2).splitlines():  # ASCII; never truncated
        write_output(_without_secrets(line) + "\n")


def write_output(text: str) -> None:
    """Write text that is already safe to stdout.

    Raises:
        OutputError: it cannot be written.
        BrokenPipeError: the reader has closed the pipe.
    """
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _output_error(error) from error


def is_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal, for colours and progress lines."""
    unwelcome = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not unwelcome


def open_standard_streams() -> None:
    """Open /dev/null for each of stdin, stdout and stderr that the caller has closed.

    Otherwise the next opened file would get the number of the closed stream. Stdout is opened for
    reading, so that writing the result to a closed stdout is an error.
    """
    for fd, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open


def start_logging(program: str, *, debug: bool = False) -> None:
    """Set up logging to stderr; nothing else writes there."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(f"{program}: %(level_prefix)s%(message)s%(repeat_note)s"))
    handler.addFilter(_RepeatFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for library in ("urllib3", "filelock"):  # they log requests and files, not jobs
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_thread_crash


def log_to_file(path: Path) -> None:
    """Set up logging to a file, which logrotate may move; errors also go to stderr.

    Raises:
        OSError: it cannot be written.
    """
    from logging.handlers import WatchedFileHandler  # noqa: PLC0415 - loads socket, pickle, queue

    handler = WatchedFileHandler(path, encoding="ascii")
    handler.setFormatter(
        _Formatter("%(asctime)s %(level_prefix)s%(message)s%(repeat_note)s", "%Y-%m-%dT%H:%M:%S%z")
    )
    handler.addFilter(_RepeatFilter())
    root = logging.getLogger()
    for other in root.handlers:
        other.setLevel(logging.ERROR)
    root.addHandler(handler)


def run_command(work: Callable[[], int]) -> int:
    """Run a command and return its exit code, also from SystemExit; logging is set up.

    Each error is logged as one line (a bug with its traceback), without secrets.
    """
    os.umask(0o027)
    try:
        code = _exit_code(work)
        _flush_output()
    except BrokenPipeError:  # `cc-spool list | head`: the reader has ended
        _drop(sys.stdout)
        return exit_codes.OK
    except KeyboardInterrupt:
        _log.error("interrupted; no change is incomplete, the command may be repeated")
        return exit_codes.TRY_AGAIN
    except Exception as error:  # noqa: BLE001 - the border of the program
        return _log_failure(error)
    finally:
        _drop_unwritten_log()
    return code


def _exit_code(work: Callable[[], int]) -> int:
    try:
        return work()
    except SystemExit as end:  # argparse, after a help text or wrong arguments
        return end.code if isinstance(end.code, int) else exit_codes.OK


def _flush_output() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _output_error(error) from error


def _output_error(error: OSError) -> OutputError:
    _drop(sys.stdout)
    return OutputError(f"the output could not be written to stdout: {error.strerror}")


def _drop_unwritten_log() -> None:
    """Drop messages that cannot be written to stderr: they do not change the exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        _drop(sys.stderr)


def _drop(stream: TextIO) -> None:
    """Send a stream's buffer to /dev/null; Python would try to write it at exit."""
    with suppress(OSError):  # a stream without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _log_failure(error: Exception) -> int:
    """Log an error; return its exit code."""
    code = exit_code_of(error)
    if code == exit_codes.INTERNAL:
        _log.critical(
            "a bug, please report it: %s: %s", type(error).__name__, error, exc_info=error
        )
        return code
    words = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        words = f"{error.filename}: {error.strerror}"
    for line in words.splitlines():
        _log.error("%s", line)
    return code


def exit_code_of(error: Exception) -> int:
    """Return the exit code for an exception."""
    if isinstance(error, OutputError):
        return exit_codes.IO_ERROR
    if isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError):
        return exit_codes.NO_PERMISSION
    if isinstance(error, ConfigError) and error.is_denied:
        return exit_codes.NO_PERMISSION
    for kind, code in _EXIT_CODES.items():
        if isinstance(error, kind):
            return code
    return exit_codes.INTERNAL


_EXIT_CODES: dict[type[Exception], int] = {
    ConfigError: exit_codes.CONFIG,
    SpoolError: exit_codes.CONFIG,
    SpoolLockedError: exit_codes.TRY_AGAIN,
    SlurmError: exit_codes.UNAVAILABLE,
    TokenError: exit_codes.NO_PERMISSION,
    OSError: exit_codes.TRY_AGAIN,
}


class _RepeatFilter(logging.Filter):
    """A filter that repeats an equal message only after a while, with the number suppressed."""

    def __init__(self) -> None:
        super().__init__()
        self._last_shown: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or record.exc_info:
            return True
        words = record.getMessage()
        last_shown, suppressed = self._last_shown.get(words, (float("-inf"), 0))
        if record.created - last_shown < REPEAT_SECONDS:
            self._last_shown[words] = (last_shown, suppressed + 1)
            return False
        if len(self._last_shown) >= _MAX_REMEMBERED:
            self._last_shown.clear()
        self._last_shown[words] = (record.created, 0)
        record.repeat_note = f" (equal messages suppressed: {suppressed})" if suppressed else ""
        return True


class _Formatter(logging.Formatter):
    """A formatter with one line per message; each line of a traceback is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        record.level_prefix = (
            "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        )
        record.repeat_note = getattr(record, "repeat_note", "")
        shown = super().format(record)
        record.exc_text = None  # a cached text would reach the next handler unescaped
        lines = shown.split("\n") if record.exc_info else [shown]
        return "\n".join(map(safe_line, lines))


def _log_thread_crash(details: threading.ExceptHookArgs) -> None:
    """Log the end of a thread, as Python would print it."""
    error = details.exc_value
    _log.critical("a thread ended with a bug, please report it: %s", error, exc_info=error)


def _without_secrets(text: str) -> str:
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _JWT.sub(HIDDEN, text)

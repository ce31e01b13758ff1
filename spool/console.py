"""What the commands say: answers on stdout, everything else on stderr, one line per message.

Every line passes here, so no control character of anybody reaches a terminal or log, and no token:
`hide_secret` names a secret once, and what looks like a JWT is hidden unasked. `run_command` is
the one place where exceptions become a line and an exit code.
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
from logging.handlers import WatchedFileHandler
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
_MIN_SECRET_CHARACTERS = 4  # hiding less would hide every second word
_MAX_REMEMBERED = 1000
_secrets: set[str] = set()
_log = logging.getLogger(__name__)


def hide_secret(secret: str) -> str:
    """Let a secret never be shown from now on; return it."""
    if len(secret) >= _MIN_SECRET_CHARACTERS:
        _secrets.update({secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]})
    return secret


def safe_line(text: str) -> str:
    """Return a line that may be shown: without secrets, printable ASCII alone."""
    return escape(_without_secrets(text), MAX_LINE_CHARACTERS)


def print_line(line: str = "") -> None:
    """Write one line of the answer to stdout."""
    write_output(safe_line(line) + "\n")


def print_json(value: Any) -> None:
    """Write the answer as one JSON document to stdout."""
    for line in json.dumps(value, indent=2).splitlines():  # ASCII; cut nowhere
        write_output(_without_secrets(line) + "\n")


def write_output(text: str) -> None:
    """Write text that is already safe to stdout.

    Raises:
        OutputError: it cannot be written.
        BrokenPipeError: nobody reads it.
    """
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _output_error(error) from error


def is_terminal(stream: TextIO) -> bool:
    """Return whether colour and progress are welcome on a stream."""
    unwelcome = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not unwelcome


def open_standard_streams() -> None:
    """Open what the caller has closed of stdin, stdout and stderr on /dev/null.

    Otherwise the next file that is opened takes the place of the closed stream. Stdout is opened
    for reading, so that an answer that nobody can get is an error.
    """
    for fd, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open


def start_logging(program: str, *, debug: bool = False) -> None:
    """Log to stderr; nothing else writes there."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(f"{program}: %(level_prefix)s%(message)s%(repeat_note)s"))
    handler.addFilter(_RepeatFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for library in ("urllib3", "filelock"):  # they tell of requests and files, not of jobs
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_thread_crash


def log_to_file(path: Path) -> None:
    """Log to a file that a logrotate may move away; errors go to stderr as well.

    Raises:
        OSError: it cannot be written.
    """
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
    """Run a command to its exit code, which may come as SystemExit; the logging is started.

    Whatever goes wrong is one line (a bug: with its traceback), and never a secret.
    """
    os.umask(0o027)
    try:
        code = _exit_code(work)
        _flush_output()
    except BrokenPipeError:  # `cc-spool list | head`: nobody reads on
        _drop(sys.stdout)
        return exit_codes.OK
    except KeyboardInterrupt:
        _log.error("interrupted; nothing is half done, the command may be repeated")
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
    """Drop messages that stderr does not take: they do not change the exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        _drop(sys.stderr)


def _drop(stream: TextIO) -> None:
    """Send what a stream still holds to /dev/null; Python would try to write it at its end."""
    with suppress(OSError):  # a stream without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _log_failure(error: Exception) -> int:
    """Tell what went wrong; return the exit code for it."""
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
    """Return what a command that ended with this exception exits with."""
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
    """Lets the same fault through once, and again after a while with how often it was hidden."""

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
        record.repeat_note = f" ({suppressed} times more since it was said)" if suppressed else ""
        return True


class _Formatter(logging.Formatter):
    """One line per message; of a traceback each line is one."""

    def format(self, record: logging.LogRecord) -> str:
        record.level_prefix = (
            "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        )
        record.repeat_note = getattr(record, "repeat_note", "")
        shown = super().format(record)
        record.exc_text = None  # kept there it would reach the next handler unseen
        lines = shown.split("\n") if record.exc_info else [shown]
        return "\n".join(map(safe_line, lines))


def _log_thread_crash(details: threading.ExceptHookArgs) -> None:
    """Log the end of a thread, as Python would print it."""
    error = details.exc_value
    _log.critical("a thread died of a bug, please report it: %s", error, exc_info=error)


def _without_secrets(text: str) -> str:
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _JWT.sub(HIDDEN, text)

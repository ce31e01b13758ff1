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
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum

from slurm.type_names import Any, TextIO
from spool import exit_codes
from spool.errors import OutputError
from spool.escaping import escape

MAX_LINE_CHARACTERS = 20_000
HIDDEN = "***"
_JWT_BEGIN = "eyJ"
_JWT = _JWT_BEGIN + r"[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){0,2}"
_MIN_SECRET_CHARACTERS = 4  # hiding shorter texts would hide ordinary words
_secrets: set[str] = set()


def hide_secret(secret: str) -> str:
    """Hide a secret in all output from now on; return it."""
    if len(secret) >= _MIN_SECRET_CHARACTERS:
        _secrets.update({secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]})
    return secret


def safe_line(text: str) -> str:
    """Return a line that is safe to print: without secrets, only printable ASCII."""
    return escape(without_secrets(text), MAX_LINE_CHARACTERS)


class Colour(StrEnum):
    """A colour of text on a terminal (ECMA-48, select graphic rendition)."""

    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    MAGENTA = "35"


def print_line(line: str = "", *, colours: Mapping[str, Colour] | None = None) -> None:
    """Write one line of the result to stdout; on a terminal, colour the words in `colours`."""
    text = safe_line(line)
    if colours and is_terminal(sys.stdout):
        for word, colour in colours.items():
            text = text.replace(word, f"\x1b[{colour}m{word}\x1b[0m")
    write_output(text + "\n")


def print_json(value: Any) -> None:
    """Write the result as one JSON document to stdout."""
    for line in json.dumps(value, indent=2).splitlines():  # ASCII; never truncated
        write_output(without_secrets(line) + "\n")


def write_output(text: str, *, flush: bool = False) -> None:
    """Write text that is already safe to stdout.

    Raises:
        OutputError: it cannot be written.
        BrokenPipeError: the reader has closed the pipe.
    """
    try:
        sys.stdout.write(text)
        if flush:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _drop(sys.stdout)
        text = f"the output could not be written to stdout: {error.strerror}"
        raise OutputError(text) from error


def is_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal; False with `NO_COLOR` or `TERM=dumb`."""
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
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open


def run_command(work: Callable[[], int]) -> int:
    """Run a command and return its exit code, also from SystemExit; the caller sets up logging.

    Each error is logged as one line (a bug with its traceback), without secrets.
    """
    os.umask(0o027)
    try:
        code = _exit_code(work)
        write_output("", flush=True)
    except BrokenPipeError:  # `cc-spool list | head`: the reader has ended
        _drop(sys.stdout)
        return exit_codes.OK
    except KeyboardInterrupt:
        _logger().error("interrupted; no file is half-written, the command can be repeated")
        return exit_codes.TRY_AGAIN
    except Exception as error:  # noqa: BLE001 - the border of the program
        return _log_failure(error)
    finally:
        with suppress(OSError, ValueError):  # what was printed before an error
            sys.stdout.flush()
        _drop_unwritten_log()
    return code


def _exit_code(work: Callable[[], int]) -> int:
    try:
        return work()
    except SystemExit as end:  # argparse, after a help text or wrong arguments
        return end.code if isinstance(end.code, int) else exit_codes.OK


def _drop_unwritten_log() -> None:
    """Drop messages that cannot be written to stderr: they do not change the exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        _drop(sys.stderr)


def _drop(stream: TextIO) -> None:
    """Redirect a stream to /dev/null, because Python writes its buffer at exit."""
    with suppress(OSError):  # a stream without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _logger() -> logging.Logger:
    """Return our logger; `logging` is loaded only now."""
    return logging.getLogger(__name__)


def _log_failure(error: Exception) -> int:
    """Log an error; return its exit code."""
    code = exit_codes.exit_code_of(error)
    if code == exit_codes.INTERNAL:
        _logger().critical(
            "internal error of cc-slurm-sync (%s: %s); please report it with the log",
            type(error).__name__,
            error,
            exc_info=error,
        )
        return code
    words = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        words = f"{error.filename}: {error.strerror}"
    for line in words.splitlines():
        _logger().error("%s", line)
    return code


def without_secrets(text: str) -> str:
    """Return a text with `***` for each registered secret and each JWT."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    # few texts need the expression, which takes 0.2 ms to compile
    return re.sub(_JWT, HIDDEN, text, flags=re.ASCII) if _JWT_BEGIN in text else text

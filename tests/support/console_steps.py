"""Run a function as a command does, and return its output and exit code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from command_line import Said, call

from spool import console, exit_codes, log_output

JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
_log = logging.getLogger("test")


def ended(
    work: Callable[[], int],
    *,
    level: str = "info",
    form: str = "text",
    log_file: Path | None = None,
) -> Said:
    """Run a function as a command; return its output and exit code."""

    def program(_: object) -> int:
        log_output.start_logging("cc-test")
        log_output.set_log(level, form)
        if log_file is not None:
            log_output.log_to_file(log_file)
        return console.run_command(work)

    return call(program=program)


def raising(error: BaseException) -> Callable[[], int]:
    """Return a function that raises an exception."""

    def work() -> int:
        raise error

    return work


def saying(words: str, *arguments: object, level: int = logging.INFO) -> Callable[[], int]:
    """Return a function that logs one message."""

    def work() -> int:
        _log.log(level, words, *arguments)
        return exit_codes.OK

    return work

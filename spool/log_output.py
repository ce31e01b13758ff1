"""The log of the commands: its level, its form, and where it goes.

Lines go to stderr. If stderr is the journal of systemd, each begins with its priority instead of
the program's name, which the journal shows itself (sd-daemon(3)).
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from pathlib import Path

from slurm.type_names import Any, ClassVar, TextIO
from spool.console import safe_line

REPEAT_SECONDS = 600
_MAX_REMEMBERED = 1000
_TIME = "%Y-%m-%dT%H:%M:%S%z"
_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}  # syslog(3)
_FIELD = re.compile(r"\b(job|start|cluster|call|outcome)=([^\s,;:]+)", re.ASCII)
_NUMBERS = frozenset({"job", "start"})
_LIBRARIES = ("asyncio", "filelock", "nats", "urllib3")  # they log requests and files, not jobs


def start_logging(program: str, *, level: str = "info") -> None:
    """Set up logging to stderr as text; all other handlers are removed."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(program, is_journal=_is_journal(handler.stream)))
    handler.addFilter(_RepeatFilter())
    logging.getLogger().handlers[:] = [handler]
    set_log(level, "text")
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_thread_crash


def set_log(level: str, form: str) -> None:
    """Set the level and the format of all further messages, from `log.level` and `log.format`."""
    _Formatter.form = form
    logging.getLogger().setLevel(level.upper())


def log_to_file(path: Path) -> None:
    """Set up logging to a file, which logrotate may move; errors also go to stderr.

    Raises:
        OSError: it cannot be written.
    """
    from spool.log_file import LogFileHandler  # noqa: PLC0415 - loads socket, pickle, queue

    handler = LogFileHandler(path, encoding="ascii")
    handler.setFormatter(_Formatter())
    handler.addFilter(_RepeatFilter())
    root = logging.getLogger()
    for other in root.handlers:
        other.setLevel(logging.ERROR)
    root.addHandler(handler)


def _is_journal(stream: TextIO) -> bool:
    """Return whether a stream is the journal, as systemd says (systemd.exec(5))."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # a stream without a file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _RepeatFilter(logging.Filter):
    """A filter that repeats an equal warning only every ten minutes, with the number suppressed."""

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
    """A formatter with one line per message; each line of a traceback is escaped.

    Without a program's name each line begins with the time.
    """

    form: ClassVar[str] = "text"

    def __init__(self, program: str = "", *, is_journal: bool = False) -> None:
        super().__init__()
        self._program = program
        self._is_journal = is_journal

    def format(self, record: logging.LogRecord) -> str:
        message = safe_line(record.getMessage() + getattr(record, "repeat_note", ""))
        trace = self.formatException(record.exc_info).split("\n") if record.exc_info else []
        trace = [safe_line(line) for line in trace]
        if self.form == "json":
            lines = [self._json_line(record, message, trace)]
        else:
            lines = [self._head(record) + message, *trace]
        priority = f"<{_PRIORITIES[record.levelname]}>" if self._is_journal else ""
        return "\n".join(priority + line for line in lines)

    def _head(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        if self._is_journal:
            return level
        return f"{self._program}: {level}" if self._program else f"{_time_of(record)} {level}"

    def _json_line(self, record: logging.LogRecord, message: str, trace: list[str]) -> str:
        """Return a message as a JSON object; its `job=`, `start=` and so on also become keys."""
        found: dict[str, Any] = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "message": message,
        }
        for name, text in _FIELD.findall(message):
            found[name] = int(text) if name in _NUMBERS and text.isdigit() else text
        if trace:
            found["traceback"] = trace
        return json.dumps(found)


def _time_of(record: logging.LogRecord) -> str:
    return time.strftime(_TIME, time.localtime(record.created))


def _log_thread_crash(details: threading.ExceptHookArgs) -> None:
    """Log the error that ended a thread, with its traceback."""
    error = details.exc_value
    logging.getLogger(__name__).critical(
        "internal error of cc-slurm-sync in a thread (%s); please report it with the log",
        error,
        exc_info=error,
    )

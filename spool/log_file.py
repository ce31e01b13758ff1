"""A log file that logrotate may move; a command continues if the file cannot be written.

Loaded only for `--log-file`: `logging.handlers` loads socket, pickle and queue.
"""

from __future__ import annotations

import logging
import sys
from logging.handlers import WatchedFileHandler

from spool.escaping import escape

_log = logging.getLogger(__name__)


class LogFileHandler(WatchedFileHandler):
    """A handler that reports a file that cannot be opened or written, and never raises."""

    _is_reporting = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message; open the file again if it was moved."""
        try:
            super().emit(record)
        except OSError:  # WatchedFileHandler opens it outside of its own `try` (CPython 3.11)
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as in `logging`
        """Log to the other handlers why the file cannot be written; they suppress repetitions."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):  # a message that cannot be formatted
            super().handleError(record)
            return
        if self._is_reporting:  # our own message comes back here
            return
        self._is_reporting = True
        try:
            path, reason = escape(self.baseFilename), error.strerror or str(error)
            _log.error("cannot write the log file %s: %s; messages are lost", path, reason)
        finally:
            self._is_reporting = False

"""Call a command as a shell does, with arguments and stdin; get stdout, stderr and exit code."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from spool.cli import main

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Said:
    """The output and the exit code of a command."""

    out: str
    err: str
    code: int

    @property
    def json(self) -> Any:
        """Return stdout parsed as JSON."""
        return json.loads(self.out)


class Terminal(io.StringIO):
    """A stream that reports that it is a terminal."""

    def isatty(self) -> bool:
        """Return True, as for a terminal."""
        return True


def call(
    *arguments: object,
    stdin: str = "",
    terminal: bool = False,
    program: Callable[[Sequence[str]], int] = main,
) -> Said:
    """Run a command in this process and return its output and exit code."""
    kind = Terminal if terminal else io.StringIO
    given, out, err = kind(stdin), kind(), kind()
    with _standard_streams(given, out, err):
        try:
            code = program([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse
            code = end.code if isinstance(end.code, int) else 1
    return Said(out.getvalue(), err.getvalue(), code)


@contextmanager
def _standard_streams(given: io.StringIO, out: io.StringIO, err: io.StringIO) -> Iterator[None]:
    """Replace the streams; restore afterwards what the command changed in this process."""
    root, old = logging.getLogger(), (sys.stdin, sys.stdout, sys.stderr)
    handlers, level, hook, umask = root.handlers[:], root.level, threading.excepthook, os.umask(0)
    os.umask(umask)
    signals = {each: signal.getsignal(each) for each in _SIGNALS}
    sys.stdin, sys.stdout, sys.stderr = given, out, err
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = old
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(capture=False)
        threading.excepthook = hook
        os.umask(umask)
        for each, action in signals.items():
            signal.signal(each, action)

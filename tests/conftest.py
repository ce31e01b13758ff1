"""Fixtures that undo what a test changes: umask, signal handlers, root logger, open spools."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from empty_spool import empty_spool
from open_files import close_spools

from spool.files.layout import Layout

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture(autouse=True)
def restore_process_state() -> Iterator[None]:
    """Restore umask, root logger, exception hook and signal handlers after each test."""
    root = logging.getLogger()
    level, hook, umask = root.level, threading.excepthook, os.umask(0o022)
    handlers = root.handlers[:]
    signals = {each: signal.getsignal(each) for each in SIGNALS}
    yield
    os.umask(umask)
    root.setLevel(level)
    root.handlers[:] = handlers
    threading.excepthook = hook
    for each, handler in signals.items():
        signal.signal(each, handler)


@pytest.fixture(autouse=True)
def spools_closed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close the spools of a test's drains: a drain that is killed leaves that to the kernel."""
    yield
    root = getattr(request.node, "funcargs", {}).get("tmp_path")
    if root is not None:
        close_spools(root)


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """Yield the open layout of an empty spool."""
    with empty_spool(tmp_path) as made:
        yield made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the chaos tests measured, a line for each figure and its bound."""
    reports = [each for found in terminalreporter.stats.values() for each in found]
    figures = {
        str(value)
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "figure"
    }
    if figures:
        terminalreporter.section("faults and figures")
    for line in sorted(figures, key=lambda line: (int(line[1:].partition(" ")[0]), line)):
        terminalreporter.write_line(line)

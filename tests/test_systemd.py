"""The messages of a service to systemd."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.drain import systemd
from spool.drain.systemd import Watchdog, notify_systemd


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Return the messages of a watchdog."""
    said: list[str] = []
    monkeypatch.setattr(systemd, "notify_systemd", said.append)
    yield said
    assert {"WATCHDOG=1"} >= set(said)


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_notified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, abstract: bool
) -> None:
    """One datagram goes to the socket in NOTIFY_SOCKET, a path or an abstract name."""
    name = f"@cc-slurm-sync-{os.getpid()}" if abstract else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name[1:] if abstract else name)
        notify_systemd("READY=1")

        assert b"READY=1" == sock.recv(100)


def test_without_systemd_no_message_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain in a terminal has no NOTIFY_SOCKET and opens no socket."""
    opened: list[object] = []
    monkeypatch.setattr(socket, "socket", lambda *how: opened.append(how))
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    notify_systemd("READY=1")

    assert [] == opened


def test_a_missing_socket_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No process listens on NOTIFY_SOCKET: the log has only a debug message."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    caplog.set_level(logging.DEBUG)

    notify_systemd("READY=1")

    assert ["DEBUG"] == [record.levelname for record in caplog.records]


def test_the_watchdog_is_notified_once_per_half_period(
    heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """WATCHDOG_USEC is 60 s: one message is sent each 30 s, however often the loop runs."""
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    watchdog, counts = Watchdog(), []
    for now in (1000.0, 1000.04, 1029.9, 1030.0, 1059.9, 1060.1):
        watchdog.alive(now)
        counts.append(len(heard))

    assert [1, 1, 1, 2, 2, 3] == counts


def test_the_time_until_the_next_watchdog_message_is_returned(
    heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 s after a message 10 s remain; the loop waits no longer than this."""
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    watchdog = Watchdog()
    before = watchdog.remaining(1000.0)
    watchdog.alive(1000.0)

    assert ([0.0, 10.0], 1) == ([before, watchdog.remaining(1020.0)], len(heard))


@pytest.mark.parametrize("period", [None, "", "soon", "0", "-5"])
def test_without_a_watchdog_period_one_message_is_sent(
    heard: list[str], monkeypatch: pytest.MonkeyPatch, period: str | None
) -> None:
    """WATCHDOG_USEC is unset or invalid: systemd expects no others (sd_watchdog_enabled(3))."""
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    if period is not None:
        monkeypatch.setenv("WATCHDOG_USEC", period)
    watchdog = Watchdog()
    for now in (0.0, 10.0, 3600.0):
        watchdog.alive(now)

    assert (1, float("inf")) == (len(heard), watchdog.remaining(3600.0))

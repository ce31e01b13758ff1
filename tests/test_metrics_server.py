"""Metrics of a running publisher: over HTTP, and in a file that is rewritten periodically."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from drain_process import until
from free_port import free_port
from metrics_text import FULL, samples_of, samples_of_text

from spool.metrics import http_server, output
from spool.metrics.families import metric_families
from spool.metrics.output import MetricsPublisher
from spool.metrics.snapshot import MetricsSnapshot


@contextmanager
def published(publisher: MetricsPublisher) -> Iterator[MetricsPublisher]:
    """Run a publisher during the block."""
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.close()


def test_the_metrics_file_is_rewritten_periodically(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further write follows after the publisher is closed."""
    monkeypatch.setattr(output, "WRITE_SECONDS", 0.001)
    reads, twice = [], threading.Event()

    def read() -> MetricsSnapshot:
        reads.append(1)
        if len(reads) > 1:
            twice.set()
        return FULL

    with published(MetricsPublisher(read, textfile=tmp_path / "x.prom", listen=None)):
        assert twice.wait(60)
    count = len(reads)

    assert "cc_slurm_sync_drain_up 1.0" in (tmp_path / "x.prom").read_text()
    assert count == len(reads)


def test_metrics_are_served_until_the_publisher_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    """A request to /metrics gets all values; after the end the port is free."""
    caplog.set_level(logging.INFO)
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    publisher = MetricsPublisher(lambda: FULL, textfile=None, listen=("127.0.0.1", port))
    with published(publisher), urllib.request.urlopen(url) as answer:
        found = samples_of_text(answer.read().decode())
    socket.create_server(("127.0.0.1", port)).close()

    assert samples_of(metric_families(FULL)).items() <= found.items()
    assert f"metrics are served on {url}" in caplog.text


def ends(connection: socket.socket) -> bool:
    """Wait until the server closes a connection."""
    connection.settimeout(60)
    return connection.recv(1) == b""


def test_the_fifth_connection_is_closed() -> None:
    """At most four connections can be open, because each takes a thread of the service."""
    port = free_port()
    with (
        published(MetricsPublisher(lambda: FULL, textfile=None, listen=("127.0.0.1", port))),
        ExitStack() as stack,
    ):
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(http_server.MAX_REQUESTS + 1)
        ]

        assert ends(idle[-1])


def test_connections_without_a_request_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle connections end after a timeout, so the next scrape is served."""
    monkeypatch.setattr(http_server.MetricsHandler, "timeout", 0.01)
    port = free_port()
    with published(MetricsPublisher(lambda: FULL, textfile=None, listen=("127.0.0.1", port))):
        for _ in range(http_server.MAX_REQUESTS + 1):
            with socket.create_connection(("127.0.0.1", port)) as idle:
                assert ends(idle)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert 200 == answer.status


def test_a_port_in_use_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The publisher starts nevertheless; the warning names `metrics.listen` and the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        publisher = MetricsPublisher(lambda: FULL, textfile=None, listen=("127.0.0.1", port))
        with published(publisher):
            warnings = publisher.warnings()
    expected = f"metrics.listen: cannot listen on 127.0.0.1:{port}: Address already in use"

    assert (expected,) == warnings
    assert expected in caplog.text


def test_a_port_that_becomes_free_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """The publisher tries to listen again without a restart, and the warning ends."""
    monkeypatch.setattr(output, "LISTEN_AGAIN_SECONDS", 0.01)
    port = free_port()
    publisher = MetricsPublisher(lambda: FULL, textfile=None, listen=("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", port)) as taken, published(publisher):
        taken.close()
        until(lambda: not publisher.warnings())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert 200 == answer.status


def test_an_address_that_stays_in_use_is_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The publisher keeps trying to listen, but only the first failure is logged."""
    monkeypatch.setattr(output, "LISTEN_AGAIN_SECONDS", 0.001)
    attempts: list[int] = []

    def refuse(*_: object) -> None:
        attempts.append(1)
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

    monkeypatch.setattr(output, "MetricsServer", refuse)
    publisher = MetricsPublisher(lambda: FULL, textfile=None, listen=("127.0.0.1", 1))
    with published(publisher):
        until(lambda: len(attempts) > 2)

    assert 1 == caplog.text.count("metrics.listen")


def test_no_name_server_is_queried_for_an_ip_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that does not answer would delay the start of the drain by many seconds."""
    monkeypatch.setattr(socket, "getfqdn", lambda _name: pytest.fail("asked"))
    port = free_port()
    publisher = MetricsPublisher(lambda: FULL, textfile=None, listen=("127.0.0.1", port))
    with (
        published(publisher),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        assert 200 == answer.status


def test_a_silent_name_server_delays_neither_start_nor_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """`metrics.listen` has a host name, and the name server does not answer."""
    monkeypatch.setattr(output, "PATIENCE_SECONDS", 0.01)
    is_over, has_answered = threading.Event(), threading.Event()

    def lookup(*_: object, **__: object) -> None:
        is_over.wait(10)
        has_answered.set()
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with published(MetricsPublisher(lambda: FULL, textfile=None, listen=("controller", 9399))):
        was_early = not has_answered.is_set()

    assert (True, False) == (was_early, has_answered.is_set())
    is_over.set()
    assert has_answered.wait(60)


def test_a_host_name_that_is_too_long_is_a_warning() -> None:
    """Python cannot encode a host name of 70 characters for a name server."""
    publisher = MetricsPublisher(lambda: FULL, textfile=None, listen=("a" * 70, 9399))
    with published(publisher):
        (warning,) = publisher.warnings()

    assert f"metrics.listen: cannot listen on {'a' * 70}:9399: " in warning


def test_closing_a_publisher_twice_is_no_error() -> None:
    """The socket of `metrics.listen` is closed already at the second call."""
    publisher = MetricsPublisher(lambda: FULL, textfile=None, listen=("127.0.0.1", free_port()))
    with published(publisher):
        publisher.close()

    assert () == publisher.warnings()


def test_the_end_of_a_textfile_error_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The directory of `metrics.textfile` is missing first, and exists at the next write."""
    caplog.set_level(logging.INFO)
    path = tmp_path / "later" / "x.prom"
    publisher = MetricsPublisher(lambda: FULL, textfile=path, listen=None)
    publisher.write(path)
    path.parent.mkdir()
    publisher.write(path)
    publisher.write(path)

    assert 1 == caplog.text.count(f"metrics.textfile: {path} is written again")

"""`cc-spool drain`: assembled from a configuration, with a local server and a silent Slurm."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_site import NOON, TOKEN, CommandSite
from drain_command_site import Served, drain_site, on_start, time_limit
from stub_server import StubServer

from ccbackend.client import BackendClient
from spool.drain.assembly import BACKEND_WORKERS
from spool.files.layout import Layout
from spool.files.lock import spool_lock, take_lock


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """End a drain that does not end by itself."""
    with time_limit():
        yield


@pytest.fixture
def server() -> Iterator[StubServer]:
    """Return a cc-backend that knows our token."""
    with StubServer(Served(token=TOKEN)) as stub:
        yield stub


@pytest.fixture
def site(tmp_path: Path, server: StubServer) -> CommandSite:
    """Return a site with that server, a silent Slurm, and a run to be delivered."""
    return drain_site(tmp_path / "site", server)


def test_once_delivers_pending_runs_and_ends(site: CommandSite, server: StubServer) -> None:
    """Start and stop are sent, and the spool is empty."""
    said = site.call("drain", "--once")

    assert 0 == said.code
    assert {(5, NOON): "completed"} == server.rows()
    assert ([], []) == (site.names("todo"), site.names("open"))
    assert "job=5 cluster=lab start=" in said.err


def test_once_exits_with_75_while_a_run_is_pending(site: CommandSite, server: StubServer) -> None:
    """A wrong token halts it: no run is charged, and `status` shows the reason."""
    server.model.token = "another"
    said = site.call("drain", "--once")

    assert 75 == said.code
    assert [f"5-{NOON}.json"] == site.names("todo")
    reason = site.call("status", "--json").json["halted"]["reason"]
    assert reason.startswith("cc-backend refuses the token")


def test_warnings_of_the_configuration_are_logged_at_the_start(site: CommandSite) -> None:
    """Each warning names its key."""
    err = site.call("drain", "--once").err

    assert "warning: spool.directory: the path is in" in err
    assert "warning: spool.state_directory: the path is in" in err


def test_a_second_drain_names_the_holder_of_the_lock(site: CommandSite) -> None:
    """It exits with 75 and changes nothing."""
    site.write_drain_state()
    lock = take_lock(site.state / "drain.lock", site.state / "drain.json")
    said = site.call("drain", "--once")
    lock.release()

    assert 75 == said.code
    expected = (
        f"cc-spool: error: the lock {site.state}/drain.lock is held by process {os.getpid()}\n"
    )
    assert expected == said.err
    assert [f"5-{NOON}.json"] == site.names("todo")


def test_a_drain_with_another_state_directory_does_not_use_the_spool(site: CommandSite) -> None:
    """A copied configuration causes this; the drain exits with 75 and changes nothing."""
    with Layout(site.spool) as layout, spool_lock(layout):
        said = site.call("drain", "--once")

    assert 75 == said.code
    expected = (
        f"cc-spool: error: the lock {site.spool}/todo is held by a drain with another"
        " spool.state_directory; stop one of the two, or give it a spool.directory of its own\n"
    )
    assert expected == "".join(said.err.splitlines(keepends=True)[-1:])
    assert [f"5-{NOON}.json"] == site.names("todo")


def test_the_lock_of_a_spool_ends_with_its_drain(site: CommandSite) -> None:
    """The next drain can take the lock, and a command does not need it."""
    site.call("drain", "--once")

    with Layout(site.spool) as layout, spool_lock(layout):
        assert 0 == site.call("retry", "ALL").code


def test_an_unusable_token_is_an_error_of_the_configuration(site: CommandSite) -> None:
    """The drain cannot work without it; all errors are reported together."""
    site.token.chmod(0o644)
    site.document["drain"] = {"requeue": 5}
    site.write()
    said = site.call("drain", "--once")

    assert 78 == said.code
    assert "drain.requeue" in said.err
    assert "cc-backend.token_file" in said.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_drain_cleanly(
    site: CommandSite, server: StubServer, number: signal.Signals
) -> None:
    """The drain finishes its deliveries and exits with 0."""
    on_start(server, lambda: os.kill(os.getpid(), number))

    assert 0 == site.call("drain").code
    assert (5, NOON) in server.rows()


def test_a_drain_closes_its_connections_when_it_ends(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a reload another drain runs in the same process."""
    closed: set[BackendClient] = set()

    def close(client: BackendClient) -> None:
        closed.add(client)

    monkeypatch.setattr(BackendClient, "close", close)

    site.call("drain", "--once")

    assert len(BACKEND_WORKERS) == len(closed)


def test_proxy_and_certificates_are_configured(site: CommandSite, server: StubServer) -> None:
    """Requests go to the proxy, with the site's own CA file."""
    authority = site.root / "ca.pem"
    authority.touch()
    site.document["cc-backend"] |= {
        "host": "http://cc.example.org",
        "proxy": server.url,
        "ca_file": str(authority),
    }
    site.document["allow_plain_http"] = True
    site.write()
    site.call("drain", "--once")

    assert {"http://cc.example.org"} == {each.path[:21] for each in server.log}

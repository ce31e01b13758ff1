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


def test_drain_once_delivers_pending_runs_and_ends(site: CommandSite, server: StubServer) -> None:
    """`cc-spool drain --once` sends start and stop, leaves the spool empty and exits with 0."""
    said = site.call("drain", "--once")

    assert 0 == said.code
    assert {(5, NOON): "completed"} == server.rows()
    assert ([], []) == (site.names("todo"), site.names("open"))
    assert "job=5 cluster=lab start=" in said.err


def test_drain_once_exits_with_75_while_a_run_is_pending(
    site: CommandSite, server: StubServer
) -> None:
    """A wrong token halts deliveries; `cc-spool status` shows the reason."""
    server.model.token = "another"
    said = site.call("drain", "--once")

    assert 75 == said.code
    assert [f"5-{NOON}.json"] == site.names("todo")
    reason = site.call("status", "--json").json["halted"]["reason"]
    assert reason.startswith("cc-backend refuses the token")


def test_warnings_of_the_configuration_are_logged_at_the_start(site: CommandSite) -> None:
    """Each warning of the drain names its key, such as spool.directory."""
    err = site.call("drain", "--once").err

    assert "warning: spool.directory: the path is in" in err
    assert "warning: spool.state_directory: the path is in" in err


def test_a_second_drain_names_the_holder_of_the_lock(site: CommandSite) -> None:
    """The second drain exits with 75 and changes nothing; the error has path and process id."""
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
    """Another drain has locked the spool; this one has a copied configuration and exits with 75."""
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
    """The next drain can take the lock; `cc-spool retry` does not need it."""
    site.call("drain", "--once")

    with Layout(site.spool) as layout, spool_lock(layout):
        assert 0 == site.call("retry", "ALL").code


def test_an_unusable_token_is_an_error_of_the_configuration(site: CommandSite) -> None:
    """The drain exits with 78, and reports the token file together with all other errors."""
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
    """After SIGTERM or SIGINT the drain finishes its deliveries and exits with 0."""
    on_start(server, lambda: os.kill(os.getpid(), number))

    assert 0 == site.call("drain").code
    assert (5, NOON) in server.rows()


def test_a_drain_closes_its_connections_when_it_ends(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each client is closed, because after a reload another drain runs in the same process."""
    closed: set[BackendClient] = set()

    def close(client: BackendClient) -> None:
        closed.add(client)

    monkeypatch.setattr(BackendClient, "close", close)

    site.call("drain", "--once")

    assert len(BACKEND_WORKERS) == len(closed)


def test_requests_go_through_the_configured_proxy(site: CommandSite, server: StubServer) -> None:
    """With `cc-backend.proxy` every request reaches the proxy; `ca_file` is set as well."""
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

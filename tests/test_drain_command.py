"""`cc-spool drain`: put together from the configuration, on loopback and a Slurm that is silent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_site import NOON, TOKEN, CommandSite
from drain_command_site import Served, drain_site, time_limit
from stub_server import Answer, StubServer

from ccbackend.client import BackendClient
from spool.commands import drain
from spool.drain import service
from spool.drain.assembly import BACKEND_WORKERS, assemble
from spool.files.layout import Layout
from spool.files.lock import spool_lock, take_lock
from spool.log_output import set_log


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """End a drain that nobody ends."""
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


def on_request(server: StubServer, act: Callable[[str], None]) -> None:
    """Let something happen when the server is asked."""
    assert isinstance(server.model, Served)
    server.model.on_request = act


def on_start(server: StubServer, act: Callable[[], None]) -> None:
    """Let something happen when the server gets a start."""
    on_request(server, lambda path: act() if path.endswith("/start_job/") else None)


def test_once_tells_what_waits_and_ends(site: CommandSite, server: StubServer) -> None:
    """Start and stop, and the spool is empty."""
    said = site.call("drain", "--once")

    assert 0 == said.code
    assert {(5, NOON): "completed"} == server.rows()
    assert ([], []) == (site.names("todo"), site.names("open"))
    assert "job=5 cluster=lab start=" in said.err


def test_once_says_that_something_waits(site: CommandSite, server: StubServer) -> None:
    """Halted by a wrong token: nothing is charged, `status` says why, exit code 75."""
    server.model.token = "another"
    said = site.call("drain", "--once")

    assert 75 == said.code
    assert [f"5-{NOON}.json"] == site.names("todo")
    reason = site.call("status", "--json").json["halted"]["reason"]
    assert reason.startswith("cc-backend refuses the token")


def test_warnings_of_the_configuration_are_told_at_the_start(site: CommandSite) -> None:
    """Each with its key."""
    err = site.call("drain", "--once").err

    assert "warning: spool.directory: the path is in" in err
    assert "warning: spool.state_directory: the path is in" in err


def test_a_second_drain_names_the_holder(site: CommandSite) -> None:
    """Exit code 75, and nothing is touched."""
    site.beacon()
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
    """A copied configuration; exit code 75, and nothing is touched."""
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
    """The next one can take it, and a command needs none of it."""
    site.call("drain", "--once")

    with Layout(site.spool) as layout, spool_lock(layout):
        assert 0 == site.call("retry", "ALL").code


def test_a_token_that_cannot_be_used_is_a_problem_of_the_configuration(site: CommandSite) -> None:
    """The drain cannot do without it; all problems come at once."""
    site.token.chmod(0o644)
    site.document["drain"] = {"requeue": 5}
    site.write()
    said = site.call("drain", "--once")

    assert 78 == said.code
    assert "drain.requeue" in said.err
    assert "cc-backend.token_file" in said.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_drain_in_order(
    site: CommandSite, server: StubServer, number: signal.Signals
) -> None:
    """What was delivered is durable, the exit code is 0."""
    on_start(server, lambda: os.kill(os.getpid(), number))

    assert 0 == site.call("drain").code
    assert (5, NOON) in server.rows()


def test_a_changed_configuration_is_taken_up(site: CommandSite, server: StubServer) -> None:
    """Here another server; the lock stays ours, the token is the same."""
    with StubServer(Served(token=TOKEN)) as second:
        on_start(second, lambda: os.kill(os.getpid(), signal.SIGTERM))

        def act() -> None:
            site.document["cc-backend"]["host"] = second.url
            site.write()

        server.model.poison[5] = Answer(503, "")
        on_start(server, act)
        said = site.call("drain")
        rows = second.rows()

    assert 0 == said.code
    assert (5, NOON) in rows
    assert "the configuration was reloaded" in said.err


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_the_metrics_file_of_the_old_configuration_is_removed(
    site: CommandSite, server: StubServer, tmp_path: Path, kind: str
) -> None:
    """node_exporter would show it for ever; what cannot be removed is named."""
    old, new = tmp_path / "old.prom", tmp_path / "new.prom"
    site.document["metrics"] = {"textfile": str(old)}
    site.write()
    if kind == "directory":
        old.mkdir()
    with StubServer(Served(token=TOKEN)) as second:
        on_start(second, lambda: os.kill(os.getpid(), signal.SIGTERM))

        def act() -> None:
            site.document["cc-backend"]["host"] = second.url
            site.document["metrics"] = {"textfile": str(new)}
            site.write()

        server.model.poison[5] = Answer(503, "")
        on_start(server, act)
        said = site.call("drain")

    is_named = f"the old metrics file {old} cannot be removed: " in said.err
    assert (kind == "directory", True, is_named) == (old.exists(), new.exists(), old.exists())


def test_sighup_looks_at_once(site: CommandSite, server: StubServer) -> None:
    """Even if nothing seems to have changed."""
    asked: list[str] = []

    def act(path: str) -> None:
        asked.append(path)
        if path.endswith("/start_job/"):
            os.kill(os.getpid(), signal.SIGHUP)
        elif asked.count("/login") == 2:  # the drain of the configuration read again
            os.kill(os.getpid(), signal.SIGTERM)

    on_request(server, act)
    said = site.call("drain")

    assert 0 == said.code
    assert "the configuration was reloaded" in said.err


@pytest.mark.parametrize("is_edited", [True, False], ids=["edited", "requested"])
def test_a_reload_while_a_configuration_is_put_to_use_is_not_lost(
    site: CommandSite, server: StubServer, monkeypatch: pytest.MonkeyPatch, *, is_edited: bool
) -> None:
    """The drain that works until then may need seconds to end its requests."""
    used: list[str] = []

    def act(level: str, form: str) -> None:
        used.append(level)
        if len(used) == 2 and is_edited:
            site.document["drain"] = {"stop_hold_seconds": 200}
            site.write()
        elif len(used) == 2:
            os.kill(os.getpid(), signal.SIGHUP)
        elif len(used) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        set_log(level, form)

    monkeypatch.setattr(drain, "set_log", act)
    on_start(server, lambda: os.kill(os.getpid(), signal.SIGHUP))

    assert (0, 3) == (site.call("drain").code, len(used))


def test_systemd_hears_of_the_end_alone(
    site: CommandSite, server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of a changed configuration: it would kill what goes on after that."""
    asked: list[str] = []

    def act(path: str) -> None:
        asked.append(path)
        if path.endswith("/start_job/"):
            os.kill(os.getpid(), signal.SIGHUP)
        elif asked.count("/login") == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    on_request(server, act)
    heard: list[str] = []
    monkeypatch.setattr(service, "notify_systemd", heard.append)
    site.call("drain")

    assert ["READY=1", "READY=1", "STOPPING=1"] == [each for each in heard if "DOG" not in each]


def test_a_signal_to_end_counts_more_than_a_new_configuration(
    site: CommandSite, server: StubServer
) -> None:
    """Both may come within one pass."""

    def act() -> None:
        site.document["allow_plain_http"] = True
        site.write()
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)

    on_start(server, act)

    assert 0 == site.call("drain").code


def test_a_signal_between_two_configurations_counts(
    site: CommandSite, server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the next drain is put together."""
    assembled = []

    def slow(*parts: Any, **more: Any) -> Any:
        assembled.append(parts)
        if len(assembled) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return assemble(*parts, **more)

    monkeypatch.setattr(drain, "assemble", slow)
    on_start(server, lambda: os.kill(os.getpid(), signal.SIGHUP))

    assert (0, 2) == (site.call("drain").code, len(assembled))


def test_a_drain_closes_its_connections_when_it_ends(
    site: CommandSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed configuration starts another in the same process."""
    closed: set[BackendClient] = set()

    def close(client: BackendClient) -> None:
        closed.add(client)

    monkeypatch.setattr(BackendClient, "close", close)

    site.call("drain", "--once")

    assert len(BACKEND_WORKERS) == len(closed)


def test_the_way_to_the_server_is_configured(site: CommandSite, server: StubServer) -> None:
    """Through a proxy, with certificates of one's own."""
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

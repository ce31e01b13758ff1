"""`cc-spool drain` reloads a changed configuration, and loses no signal meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_site import NOON, TOKEN, CommandSite
from drain_command_site import Served, drain_site, on_request, on_start, time_limit
from stub_server import Answer, StubServer

from spool.commands import drain
from spool.drain import service
from spool.drain.assembly import assemble
from spool.log_output import set_log


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


def test_a_changed_configuration_is_loaded(site: CommandSite, server: StubServer) -> None:
    """The new configuration names another server; the drain delivers to it without a restart."""
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
    """node_exporter would show the old file forever; the log names one that cannot be removed."""
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


def test_sighup_reloads_the_configuration_at_once(site: CommandSite, server: StubServer) -> None:
    """The drain reloads the configuration even if no file has changed."""
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
def test_a_reload_while_a_configuration_is_loaded_is_not_lost(
    site: CommandSite, server: StubServer, monkeypatch: pytest.MonkeyPatch, *, is_edited: bool
) -> None:
    """An edit or a SIGHUP during a reload causes another reload."""
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


def test_systemd_is_notified_only_of_the_final_stop(
    site: CommandSite, server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After STOPPING=1 at a reload systemd would kill the drain that continues."""
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


def test_a_signal_to_end_has_priority_over_a_reload(site: CommandSite, server: StubServer) -> None:
    """SIGTERM arrives just after SIGHUP; the drain exits with 0."""

    def act() -> None:
        site.document["allow_plain_http"] = True
        site.write()
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)

    on_start(server, act)

    assert 0 == site.call("drain").code


def test_a_signal_between_two_configurations_ends_the_drain(
    site: CommandSite, server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM arrives during a reload, while the next drain is assembled."""
    assembled = []

    def slow(*parts: Any, **more: Any) -> Any:
        assembled.append(parts)
        if len(assembled) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return assemble(*parts, **more)

    monkeypatch.setattr(drain, "assemble", slow)
    on_start(server, lambda: os.kill(os.getpid(), signal.SIGHUP))

    assert (0, 2) == (site.call("drain").code, len(assembled))

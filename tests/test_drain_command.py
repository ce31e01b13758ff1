"""`cc-spool drain`: put together from the configuration, on loopback and a Slurm that is silent."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from command_site import NOON, TOKEN, CommandSite, run_of
from standin_slurm.controller import Controller
from stub_server import Answer, Model, Request, StubServer

from ccbackend.client import BackendClient
from ccbackend.errors import TokenError
from spool import config
from spool.commands import drain
from spool.commands.drain import ConfigWatcher, token_for
from spool.drain import service
from spool.drain.assembly import BACKEND_WORKERS, assemble
from spool.files.layout import Directory
from spool.files.lock import take_lock
from spool.files.run import End, EndSource
from spool.identity import MaskedToken

END = End(time=NOON + 100, state="COMPLETED", source=EndSource.CONTROLLER)


class Served(Model):
    """A server that does something when asked."""

    on_request: Callable[[str], None] = staticmethod(lambda _path: None)

    def respond(self, request: Request) -> Answer:
        """Answer one request."""
        self.on_request(request.path)
        return super().respond(request)


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """End a drain that nobody ends."""

    def give_up(*_: object) -> None:
        raise TimeoutError("the drain goes on")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def server() -> Iterator[StubServer]:
    """Return a cc-backend that knows our token."""
    with StubServer(Served(token=TOKEN)) as stub:
        yield stub


@pytest.fixture
def site(tmp_path: Path, server: StubServer) -> CommandSite:
    """Return a site with that server, a silent Slurm, and a run to be delivered."""
    made = CommandSite(tmp_path / "site")
    made.document["cc-backend"]["host"] = server.url
    made.document["slurm"] = dict.fromkeys(("squeue", "sacct", "scontrol"), "/bin/false")
    made.write()
    made.put(Directory.TODO, run_of(5, end=END))
    return made


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
    assert reason.startswith("the server refuses the token")


def test_warnings_of_the_configuration_are_told_at_the_start(site: CommandSite) -> None:
    """Each with its key."""
    err = site.call("drain", "--once").err

    assert "warning: spool.directory: is in" in err
    assert "warning: spool.state_directory: is in" in err


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


def watch_of(site: CommandSite) -> ConfigWatcher:
    """Return a watch on a site's configuration and token."""
    loaded = config.load(site.config)
    held = MaskedToken(loaded)
    held.current()
    return ConfigWatcher(loaded, held)


def test_nothing_changed_is_no_news(site: CommandSite) -> None:
    """Call after call."""
    watch = watch_of(site)

    assert [False, False] == [watch(), watch()]


def replace_token(site: CommandSite, text: str | None) -> None:
    """Write a token, or remove the file."""
    if text is None:
        site.token.unlink()
    else:
        site.token.write_text(text)
        site.token.chmod(0o640)


@pytest.mark.parametrize(
    "texts",
    [
        (TOKEN + "x\n", TOKEN + "xyz\n"),
        (None, TOKEN + "\n"),
        ("no token", TOKEN + "\n"),
        ("", TOKEN),
    ],
    ids=["replaced twice", "removed and put back", "wrong, then right", "empty, then right"],
)
@pytest.mark.parametrize("is_read", [True, False])
def test_each_change_of_the_token_is_news_once(
    site: CommandSite, texts: tuple[str | None, ...], *, is_read: bool
) -> None:
    """Whatever could be read of it meanwhile, and whether anybody tried."""
    watch, news = watch_of(site), []
    for text in texts:
        replace_token(site, text)
        if is_read:
            with suppress(TokenError):
                watch.token.current()
        news += [watch(), watch()]

    assert [True, False] * len(texts) == news


def test_a_corrected_mode_of_the_token_file_is_news(site: CommandSite) -> None:
    """It was readable for everybody, so nobody used it."""
    watch, news = watch_of(site), []
    for mode in (0o644, 0o600):
        site.token.chmod(mode)
        news += [watch(), watch()]

    assert [True, False, True, False] == news


def test_a_configuration_with_problems_is_told_and_not_used(
    site: CommandSite, caplog: pytest.LogCaptureFixture
) -> None:
    """The old one stays; that it vanished is a problem, too."""
    watch = watch_of(site)
    site.document["unknown"] = 1
    site.write()
    changed = watch()
    site.config.unlink()
    gone = watch()

    assert (True, True, None) == (changed, gone, watch.new_config)
    assert ["unknown: unknown key", "the file: cannot be read"] == [
        record.getMessage().partition("is not used: ")[2].partition(";")[0][: len(text)]
        for record, text in zip(
            caplog.records, ("unknown: unknown key", "the file: cannot be read"), strict=True
        )
    ]


def test_another_spool_needs_a_restart(
    site: CommandSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Our lock belongs to the old one."""
    watch = watch_of(site)
    other = CommandSite(tmp_path / "other")
    site.document["spool"] = other.document["spool"]
    site.write()
    watch()

    assert watch.new_config is None
    assert "type `systemctl restart cc-spool`" in caplog.text


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


def test_a_token_in_the_same_file_is_held_on_to(site: CommandSite, tmp_path: Path) -> None:
    """Root may have read it for us."""
    held = MaskedToken(config.load(site.config))
    same = token_for(config.load(site.config), held)
    other = token_for(config.load(CommandSite(tmp_path / "other").config), held)

    assert same is held
    assert other.path == tmp_path / "other" / "token"


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


def script_sent(server: StubServer, job_id: int) -> str | None:
    """Return the script of a job as the server got it."""
    bodies = [json.loads(each.body) for each in server.log if each.path.endswith("/start_job/")]
    (body,) = (body for body in bodies if body["jobId"] == job_id)
    script = body.get("metaData", {}).get("jobScript")
    return None if script is None else str(script)


def with_slurm(site: CommandSite) -> Controller:
    """Give a site a Slurm that answers."""
    controller = Controller(site.root / "slurm", "24.11", spool=site.spool)
    commands = ("squeue", "sacct", "scontrol")
    site.document["slurm"] = {name: str(controller.command(name)) for name in commands}
    site.write()
    return controller


@pytest.mark.parametrize("is_configured", [True, False])
def test_scripts_are_read_where_slurmctld_keeps_them(
    site: CommandSite, server: StubServer, *, is_configured: bool
) -> None:
    """As configured, or as `scontrol show config` says."""
    slurm = with_slurm(site)
    job_id = slurm.start({"n2cn0101": [0, 1]})
    kept = slurm.saved
    if is_configured:
        kept = site.root / "elsewhere"
        site.document["slurm"]["state_save_location"] = str(kept)
        site.write()
    path = kept / f"hash.{job_id % 10}" / f"job.{job_id}" / "script"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"#!/bin/sh\n: as kept\n\0")
    said = site.call("drain", "--once")

    assert ("#!/bin/sh\n: as kept\n", 0) == (script_sent(server, job_id), said.code), said.err


@pytest.mark.parametrize("setting", ["job_script", "slurm_info"])
def test_texts_that_nobody_wants_are_not_sent(
    site: CommandSite, server: StubServer, setting: str
) -> None:
    """The other one is."""
    slurm = with_slurm(site)
    site.document["metadata"] = {setting: False}
    site.write()
    job_id = slurm.start({"n2cn0101": [0, 1]})
    site.call("drain", "--once")

    assert (setting == "slurm_info") is (script_sent(server, job_id) is not None)

"""The commands with NATS configured: which client delivers, and what `check --full` says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from command_site import TOKEN, CommandSite
from free_port import free_port
from nats_site import SUBJECT, NatsServer, Subscriber, needs_broker
from stub_server import Model, StubServer

from ccbackend.client import BackendClient
from ccbackend.nats_api.nats_client import NatsClient
from ccbackend.nats_api.notifier import NotifyingClient
from ccbackend.outcomes import Reason
from ccbackend.version import SharedServerInfo
from spool.checks.result import CheckResult, CheckStatus
from spool.config import load
from spool.connections import broker, job_clients
from spool.identity import open_token
from spool.preflight.full_check import full_check_results

ROOT = Path(__file__).parents[1]


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site."""
    return CommandSite(tmp_path / "site")


@pytest.fixture
def server() -> Iterator[StubServer]:
    """Return a cc-backend in NATS mode."""
    with StubServer(Model(version="1.5.4", token=TOKEN, nats=True)) as stub:
        yield stub


def configure(site: CommandSite, url: str, **nats: Any) -> None:
    """Write a configuration with NATS."""
    site.document["cc-backend"]["host"] = url
    site.document["nats"] = nats
    site.write()


def checked(site: CommandSite) -> dict[str, CheckResult]:
    """Return the results of the full check by name."""
    config = load(site.config)
    results = full_check_results(config, open_token(config))
    return {result.name: result for result in results}


@pytest.mark.parametrize(
    ("nats", "kind"),
    [
        ({}, BackendClient),
        ({"servers": "nats://127.0.0.1:9", "subject": SUBJECT}, NotifyingClient),
        (
            {"servers": "nats://127.0.0.1:9", "subject": SUBJECT, "mode": "transport"},
            NatsClient,
        ),
    ],
)
def test_the_mode_decides_which_client_delivers(
    site: CommandSite, nats: dict[str, Any], kind: type[object]
) -> None:
    """No NATS: REST; mode `notify` (default): REST with notifications; `transport`: NATS."""
    configure(site, "http://127.0.0.1:9", **nats)
    with ExitStack() as stack:
        new_client = job_clients(load(site.config), lambda: TOKEN, SharedServerInfo(), stack)
        first, second = new_client(), new_client()

    assert (kind, kind, False) == (type(first), type(second), first is second)


def test_a_broker_is_created_from_the_configuration(site: CommandSite) -> None:
    """The connection is opened with the first message; here no broker listens: BROKER_AWAY."""
    url = f"nats://127.0.0.1:{free_port()}"
    configure(site, "http://127.0.0.1:9", servers=[url], subject=SUBJECT)
    made = broker(load(site.config))
    verdict = made.publish(b"\n")
    made.close()

    assert Reason.BROKER_AWAY is verdict.reason


@needs_broker
def test_check_is_ok_if_jobs_by_nats_are_accepted(
    site: CommandSite, server: StubServer, tmp_path: Path
) -> None:
    """`check --full` tests server, token, broker and subscription."""
    with NatsServer(tmp_path) as nats, Subscriber(nats.url, server):
        configure(site, server.url, servers=nats.url, subject=SUBJECT, mode="transport")
        found = checked(site)

    assert (CheckStatus.OK, "accepts jobs by NATS") == (
        found["server job API"].status,
        found["server job API"].text,
    )


@needs_broker
def test_a_server_that_does_not_subscribe_is_critical(
    site: CommandSite, server: StubServer, tmp_path: Path
) -> None:
    """The hint of `check --full` says to restart cc-backend."""
    with NatsServer(tmp_path) as nats:
        configure(site, server.url, servers=nats.url, subject=SUBJECT, mode="transport")
        found = checked(site)["server job API"]

    assert (CheckStatus.CRITICAL, True) == (found.status, "restart cc-backend" in found.hint)


def test_a_server_that_accepts_jobs_by_rest_is_critical(
    site: CommandSite, server: StubServer
) -> None:
    """With mode `transport` no job is delivered; `check --full` says to remove `nats.mode`."""
    server.model.nats = False
    url = f"nats://127.0.0.1:{free_port()}"
    configure(site, server.url, servers=url, subject=SUBJECT, mode="transport")
    found = checked(site)["server job API"]

    assert (CheckStatus.CRITICAL, True) == (found.status, "remove nats.mode" in found.hint)


@needs_broker
def test_notifications_need_no_subscriber(
    site: CommandSite, server: StubServer, tmp_path: Path
) -> None:
    """`check --full` is OK; its text says whether a program subscribes to the subject."""
    server.model.nats = False
    with NatsServer(tmp_path) as nats:
        configure(site, server.url, servers=nats.url, subject=SUBJECT)
        alone = checked(site)["NATS broker"]
        with Subscriber(nats.url, server):
            heard = checked(site)["NATS broker"]

    assert [CheckStatus.OK] * 2 == [alone.status, heard.status]
    assert [True, False] == ["no program subscribes" in each.text for each in (alone, heard)]


def test_notifications_without_a_broker_are_a_warning(
    site: CommandSite, server: StubServer
) -> None:
    """`check --full` does not fail, as jobs are delivered by REST and not by the broker."""
    server.model.nats = False
    configure(site, server.url, servers=f"nats://127.0.0.1:{free_port()}", subject=SUBJECT)
    found = checked(site)["NATS broker"]

    assert (CheckStatus.WARNING, True) == (
        found.status,
        "notifications do not reach the NATS broker" in found.text,
    )


def test_a_site_without_nats_does_not_load_the_nats_library(site: CommandSite) -> None:
    """The NATS library and asyncio would take memory in each drain."""
    program = (
        "import sys; from contextlib import ExitStack; from pathlib import Path\n"
        "from ccbackend.version import SharedServerInfo; from spool.commands import drain\n"
        "from spool.config import load; from spool.connections import job_clients\n"
        "config = load(Path(sys.argv[1]))\n"
        "job_clients(config, str, SharedServerInfo(), ExitStack())()\n"
        "print(sorted({'nats', 'asyncio', 'ccbackend.nats_api'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(site.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)

    assert "[]\n" == done.stdout

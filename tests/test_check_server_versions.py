"""`check --full` gives the same results for every cc-backend from 1.0.0 to 1.5.4."""

from __future__ import annotations

import pytest
import requests
from stub_server import Model, StubServer

from ccbackend.client import BackendClient
from ccbackend.token import Token
from ccbackend.wire.transport import Transport
from spool.checks.result import CheckResult, CheckStatus
from spool.preflight.server import check_server

LAB = {"name": "lab", "subClusters": [{"name": "cpu", "nodes": "n[1-3]"}]}


def asked(model: Model, account: str = "api") -> dict[str, CheckResult]:
    """Return the results of the check of such a server, by name."""
    token = f"TOKEN:{account}"
    with StubServer(model) as server:
        backend = BackendClient(Transport(requests.Session(), server.url, token=lambda: token))
        results, _ = check_server(backend, Token(token), ("lab",))
        backend.close()
    return {result.name: result for result in results}


VERSIONS = (
    *("1.0.0", "1.1.0", "1.2.0", "1.2.1", "1.2.2", "1.3.0", "1.3.1"),
    *("1.4.0", "1.4.1", "1.4.2", "1.4.3", "1.4.4"),
    *("1.5.0", "1.5.1", "1.5.2", "1.5.3", "1.5.4"),
)
NEW = VERSIONS[-5:]
WITHOUT_CLUSTERS = VERSIONS[:5]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_release_of_cc_backend_is_recognised_and_healthy(version: str) -> None:
    """The check finds version and API field; releases up to 1.2 do not list their clusters."""
    found = asked(Model(version=version, clusters=[LAB]))
    dialect = "shared" if version in NEW else "exclusive"
    assert f"cc-backend {version} (API field for node sharing: '{dialect}')" == found["server"].text
    odd = {name for name, result in found.items() if result.status is not CheckStatus.OK}
    assert ({"server cluster"} if version in WITHOUT_CLUSTERS else set()) == odd


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("account", ["plain", "stranger.of.no.use", "expired"])
def test_every_release_of_cc_backend_refuses_a_bad_token(version: str, account: str) -> None:
    """The token has no role or a wrong signature, or has expired; the result is critical."""
    found = asked(Model(version=version, clusters=[LAB]), account)
    assert ["server"] == list(found)
    assert CheckStatus.CRITICAL is found["server"].status
    assert ("expired" in found["server"].hint) == (account == "expired")


@pytest.mark.parametrize("version", NEW)
def test_a_server_in_nats_mode_is_critical(version: str) -> None:
    """cc-backend 1.5 in NATS mode answers requests for job lists, but it accepts no jobs."""
    found = asked(Model(version=version, clusters=[LAB], nats=True))
    assert CheckStatus.OK is found["server token"].status
    assert CheckStatus.CRITICAL is found["server job API"].status
    assert "NATS mode" in found["server job API"].text

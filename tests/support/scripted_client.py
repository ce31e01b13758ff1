"""A client of cc-backend, the scripted server to which it connects, and answers for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from scripted_server import Action, ScriptedServer, answer

from ccbackend.client import BackendClient
from ccbackend.version import ServerInfo, SharedServerInfo, Version, server_info
from ccbackend.wire.transport import ExchangeLimits, Transport

T = 1767225600
OLD = server_info(Version(1, 4, 4))
NEW = server_info(Version(1, 5, 4))
CREATED = answer(201, '{"msg":"success"}\n')
EMPTY = answer(200, '{"jobs":[],"items":1,"page":1}\n')
START = {"jobId": 7, "cluster": "lab", "startTime": T, "shared": "none"}


@contextmanager
def backend(
    *actions: Action, server: ServerInfo = NEW, limits: ExchangeLimits | None = None
) -> Iterator[tuple[BackendClient, ScriptedServer]]:
    """Yield a client, and the server with this script to which it connects."""
    limits = limits or ExchangeLimits()
    with ScriptedServer(actions) as peer, requests.Session() as session:
        transport = Transport(session, peer.url, token=lambda: "secret-token", limits=limits)
        yield BackendClient(transport, SharedServerInfo(server)), peer


def error(status: int, text: str) -> Action:
    """Return an answer of the API with an error text."""
    return answer(status, json.dumps({"status": "x", "error": text}))


def graphql(*rows: tuple[int, int], count: int | None = None, cluster: str = "lab") -> Action:
    """Return a GraphQL listing of (job id, start) rows."""
    items = [
        {
            "id": index,
            "jobId": job_id,
            "cluster": cluster,
            "startTime": f"2026-01-01T0{start}:00:00Z",
            "state": "running",
        }
        for index, (job_id, start) in enumerate(rows)
    ]
    jobs = {"count": len(items) if count is None else count, "items": items}
    return answer(200, json.dumps({"data": {"jobs": jobs}}))


def rest(*rows: tuple[int, int], items: int = 100_000) -> Action:
    """Return a REST listing of (job id, start) rows."""
    jobs = [
        {
            "id": index,
            "jobId": job_id,
            "cluster": "lab",
            "startTime": T + 3600 * start,
            "jobState": "running",
        }
        for index, (job_id, start) in enumerate(rows)
    ]
    return answer(200, json.dumps({"jobs": jobs, "items": items, "page": 1}))

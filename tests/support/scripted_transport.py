"""A transport to a server that follows a script."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from scripted_server import Action, ScriptedServer, answer

from ccbackend.wire.transport import Transport

OK = answer(200, "{}")
TOKEN = "eyJ-secret"


@contextmanager
def transport(
    *actions: Action, context: ssl.SSLContext | None = None, **settings: Any
) -> Iterator[tuple[Transport, ScriptedServer]]:
    """Yield a transport, and the server with this script to which it connects."""
    given: dict[str, Any] = {"token": lambda: TOKEN} | settings
    with ScriptedServer(actions, context) as peer, requests.Session() as session:
        yield Transport(session, peer.url, **given), peer

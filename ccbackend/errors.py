"""What can fail: the errors that leave this package, faults on the way, errors in an answer.

A failed request is no exception but a classified reply.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum


class CcBackendError(Exception):
    """Root of this package's errors."""


class PayloadError(CcBackendError):
    """Job facts from which no request can be made that cc-backend accepts; nothing is sent.

    `problems` lists what is wrong, for the dead letter.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class TokenError(CcBackendError):
    """The file of the token or another secret cannot be used: path, problem, hint; never a secret.

    `is_denied` says that we may not read the file, or that other users can.
    """

    def __init__(self, path: str, problem: str, hint: str, *, is_denied: bool = False) -> None:
        super().__init__(f"{path}: {problem}; {hint}")
        self.path = path
        self.problem = problem
        self.hint = hint
        self.is_denied = is_denied


class ExpiredTokenError(TokenError):
    """The token has expired by this host's clock, so a request would be useless."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "the token has expired", "write a new token to this file")


class UrlError(CcBackendError):
    """The base URL of the server cannot be used: what is wrong, what to do."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(f"{problem}; {hint}")
        self.problem = problem
        self.hint = hint


class Fault(StrEnum):
    """How a request failed without a complete answer."""

    UNREACHABLE = "unreachable"  # no connection: refused, no route, name unknown
    TIMED_OUT = "timed_out"  # silence, or the deadline passed
    BROKEN = "broken"  # reset, cut, end of file
    TOO_LARGE = "too_large"  # more than the limit
    CERTIFICATE = "certificate"  # the server's is not trusted
    NO_TLS = "no_tls"  # what answers on this port does not speak TLS
    TLS = "tls"  # no version, cipher or client certificate in common
    CA_FILE = "ca_file"  # our file of certificates cannot be used


# From 1.0.0 on a handler of cc-backend reports an error as `{"status": str, "error": str}`,
# GraphQL as `{"errors": [...], "data": ...}`. What has another shape was written by something in
# front.
MESSAGE_CHARACTERS = 2000
_SEARCHED_CHARACTERS = 100_000  # a job list is a hundred times as long
_MESSAGE = r'"(?:error|message|msg)"\s*:\s*("(?:[^"\\]|\\.)*")'


def server_message(text: str) -> str:
    """Return the server's own message in an answer, at most 2000 characters; else its text.

    Some answers hold two JSON documents, or text in front of one (up to 1.4.4): the first message
    found counts.
    """
    found = re.search(_MESSAGE, text[:_SEARCHED_CHARACTERS])
    if found is None:
        return text.strip()[:MESSAGE_CHARACTERS]
    try:
        words = json.loads(found[1])
    except ValueError:
        words = found[1]
    return str(words)[:MESSAGE_CHARACTERS]


def is_own_error(text: str) -> bool:
    """Return whether a body is an error as cc-backend itself writes it.

    Text in front of the document and a second document behind it are tolerated (up to 1.4.4).
    """
    try:
        found, _ = json.JSONDecoder().raw_decode(text, max(text.find("{"), 0))
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict):
        return False
    if isinstance(found.get("errors"), list):
        return "data" in found
    return isinstance(found.get("error"), str) and isinstance(found.get("status"), str)


def is_json(text: str) -> bool:
    """Return whether a body is one whole JSON document."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True

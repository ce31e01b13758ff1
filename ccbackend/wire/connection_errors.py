"""Classify the exceptions of a connection: TLS faults, and connections that the peer closed."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence

import urllib3

from ccbackend.errors import Fault

# OpenSSL's words for a peer whose first bytes are no TLS record: plain HTTP, SSH, a wrong port.
_NO_TLS_REASONS = frozenset(
    {
        *("WRONG_VERSION_NUMBER", "WRONG_SSL_VERSION", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"),
        *("HTTPS_PROXY_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"),
    }
)
_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


def tls_fault(chain: Sequence[BaseException]) -> Fault | None:
    """Return the fault of a connection that failed at TLS; None: it failed for another reason.

    A handshake that is cut is an outage: the server may be restarting.

    Args:
        chain: the exception and all that are wrapped in it.
    """
    errors = [part for part in chain if isinstance(part, ssl.SSLError)]
    if any(isinstance(part, _CUT) for part in errors):
        return None
    if any(isinstance(part, ssl.SSLCertVerificationError) for part in errors):
        return Fault.CERTIFICATE
    if any(part.library == "SSL" for part in errors):
        is_plain = any(part.reason in _NO_TLS_REASONS for part in errors)
        return Fault.NO_TLS if is_plain else Fault.TLS
    # Certificates of ours that cannot be read or are none (X509, PEM) fail before a byte is sent.
    failed = any(isinstance(part, urllib3.exceptions.SSLError) for part in chain)
    return Fault.CA_FILE if errors or failed else None


def error_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that are wrapped in it, outermost first."""
    seen: list[BaseException] = []
    waiting: list[BaseException] = [error]
    while waiting:
        part = waiting.pop(0)
        if part in seen:
            continue
        seen.append(part)
        yield part
        inner = (*part.args, getattr(part, "reason", None), part.__cause__, part.__context__)
        waiting += [each for each in inner if isinstance(each, BaseException)]


def was_dropped(error: BaseException) -> bool:
    """Return whether the peer closed the connection without a byte of answer."""
    dropped = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)
    return any(isinstance(part, dropped) for part in error_chain(error))

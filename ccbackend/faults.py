"""How a request can fail on its way, before anything is read in an answer."""

from __future__ import annotations

from enum import StrEnum


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

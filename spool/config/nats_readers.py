"""Readers for the section `nats` of the configuration."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from slurm.type_names import Any
from spool.config.readers import InvalidValueError, Location, list_of, text

_SUBJECT = r"[^\s.*>]+(\.[^\s.*>]+)*"
_URL_HINT = "write nats://HOST[:PORT] or tls://HOST[:PORT]"

SUBJECT_HINT = "set it to the value that subject-job-event has in main.api-subjects of cc-backend"


def broker_urls(value: Any, location: Location) -> tuple[str, ...]:
    """Read the URL of one broker, or a list of those of a cluster."""
    if isinstance(value, str):
        return (_broker_url(value, location),)
    return list_of(_broker_url)(value, location)


def nats_subject(value: Any, location: Location) -> str:
    """Read a subject to publish on: words with dots between them, no wildcards."""
    found = text(value, location)
    if re.fullmatch(_SUBJECT, found) is None:
        raise InvalidValueError("expected a NATS subject without wildcards", SUBJECT_HINT)
    return found


def _broker_url(value: Any, location: Location) -> str:
    found = text(value, location)
    try:
        parts = urlsplit(found)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidValueError("not a URL", _URL_HINT) from None
    if "@" in parts.netloc:
        hint = "set nats.user to the name, and write the password to nats.password_file"
        raise InvalidValueError("the URL contains a user name or a password", hint)
    is_plain = not (parts.path or parts.query or parts.fragment)
    if parts.scheme not in {"nats", "tls"} or not host or port == 0 or not is_plain:
        raise InvalidValueError("not the URL of a NATS broker", _URL_HINT)
    return found

"""Checks of the section `nats`: contradictions between its keys, and its files."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from ccbackend.errors import TokenError
from ccbackend.token import is_loopback, read_secret
from spool.config.nats_readers import SUBJECT_HINT
from spool.config.sections import NatsKeys
from spool.errors import ConfigProblem


def nats_conflicts(nats: NatsKeys) -> Iterator[ConfigProblem]:
    """Yield the contradictions between the keys of the section."""
    if nats.servers and nats.subject is None:
        yield ConfigProblem(
            path="nats.subject", problem="missing, but nats.servers is set", hint=SUBJECT_HINT
        )
    if nats.mode == "transport" and not nats.servers:
        hint = "write the URLs of the brokers, or remove nats.mode"
        yield ConfigProblem(
            path="nats.servers", problem="missing, but nats.mode is transport", hint=hint
        )
    if (nats.user is None) != (nats.password_file is None):
        hint = "set both nats.user and nats.password_file, or neither"
        yield ConfigProblem(
            path="nats.user", problem="only one of user and password is set", hint=hint
        )
    if nats.user is not None and nats.creds_file is not None:
        hint = "remove nats.user and nats.password_file, or nats.creds_file"
        yield ConfigProblem(
            path="nats.creds_file", problem="cannot be used together with nats.user", hint=hint
        )
    if nats.key_file is not None and nats.cert_file is None:
        hint = "set nats.cert_file to the certificate of this private key"
        yield ConfigProblem(
            path="nats.key_file", problem="is set, but nats.cert_file is not", hint=hint
        )


def nats_warnings(nats: NatsKeys) -> Iterator[str]:
    """Yield a warning if the password may be sent unencrypted."""
    hosts = (urlsplit(each) for each in nats.servers)
    is_open = any(each.scheme == "nats" and not is_loopback(each.hostname or "") for each in hosts)
    if nats.user is not None and is_open:
        yield "nats.servers: nats:// may send the password unencrypted; use tls://"


def nats_file_problems(nats: NatsKeys) -> Iterator[ConfigProblem]:
    """Yield what is wrong with the files of the section; secrets are checked as the token is."""
    for key, path, what in (
        ("nats.password_file", nats.password_file, "password"),
        ("nats.creds_file", nats.creds_file, "creds file"),
        ("nats.key_file", nats.key_file, "key"),
    ):
        if path is None:
            continue
        try:
            read_secret(path, what=what, key=key)
        except TokenError as error:
            problem = f"{path}: {error.problem}"
            yield ConfigProblem(
                path=key, problem=problem, hint=error.hint, is_denied=error.is_denied
            )
    for key, path in (("nats.ca_file", nats.ca_file), ("nats.cert_file", nats.cert_file)):
        if path is not None and not path.is_file():
            yield ConfigProblem(
                path=key,
                problem=f"there is no file {path}",
                hint="set it to a PEM file of certificates",
            )

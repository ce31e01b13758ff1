"""Convert the configuration of another reporter into ours; no file is read or written.

It knows cc-slurm-adapter (`internal/config/config.go`, 2b6a9e5) and the predecessor, the script
`cc-slurm-sync` (`config.json.example`, 1152079).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

_NO_VALUE = "left out: it has no value"
_REQUIRED = frozenset({"clustername"})
_NO_DAEMON_FILES = "not needed: the hooks write files into the spool"
_NO_INTERVALS = "not needed: Slurm is asked as soon as a hook has written an event"
NOT_NEEDED = {
    "pidFilePath": "not needed: systemd or a lock file identifies the process",
    "prepSockListenPath": _NO_DAEMON_FILES,
    "prepSockConnectPath": _NO_DAEMON_FILES,
    "lastRunPath": "not needed: a sweep stores its state in spool.state_directory",
    "slurmPollInterval": _NO_INTERVALS,
    "slurmQueryDelay": _NO_INTERVALS,
    "slurmQueryMaxSpan": "not needed: `cc-sweep backfill` reports older jobs",
    "slurmMaxRetries": "not needed: runs are retried until cc-backend accepts or rejects them",
    "ccPollInterval": "not needed: cc-sweep.timer starts the sweeps",
    "node_regex": "not needed: node lists are expanded without it",
    "natsServer": _NO_VALUE,
    **dict.fromkeys(
        ("natsPort", "natsSubject", "natsUser", "natsPassword", "natsCredsFile"),
        "not needed: natsServer is not set",
    ),
}
NOT_SUPPORTED = {
    "natsNKeySeedFile": "not supported: create a creds file (`nsc generate creds`) and set "
    "nats.creds_file to its path",
}
_NO_USER_IN_URL = (
    "the token in the URL is not supported: create a user on the broker, set nats.user to its "
    "name, and write its password to the file named by nats.password_file"
)
_NATS_PORT, _NATS_SUBJECT = 4222, "jobs"  # the adapter's defaults


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret: its old key, the new key for the path of its file, the file's name and contents."""

    old_key: str
    key: str
    file_name: str
    contents: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Converted:
    """Our configuration as nested objects, a line for each old key, and the secrets."""

    document: dict[str, Any]
    notes: tuple[str, ...]
    secrets: tuple[Secret, ...]


def convert(old: Mapping[str, Any], known: frozenset[str]) -> Converted:
    """Convert an old configuration; `known` are the dotted names of our keys."""
    conversion = _Conversion(old, known)
    for key, value in _flat(old, known):
        conversion.add(key, value)
    if "clustername" not in conversion.document:
        conversion.notes.append("clustername: missing; set it to the cluster's name in cc-backend")
    if "host" not in conversion.document.get("cc-backend", {}):
        conversion.notes.append("cc-backend.host: missing; set it to the URL of cc-backend")
    return Converted(conversion.document, tuple(conversion.notes), tuple(conversion.secrets))


class _Conversion:
    """A conversion in progress: the new document, the notes and the secrets found so far."""

    def __init__(self, old: Mapping[str, Any], known: frozenset[str]) -> None:
        self.old = old
        self._known = known
        self.document: dict[str, Any] = {}
        self.notes: list[str] = []
        self.secrets: list[Secret] = []

    def add(self, key: str, value: Any) -> None:
        """Convert one key of the old file; add a note of what was done with it."""
        if value is None and (key in _RENAMED or key in _REQUIRED):
            self.notes.append(f"{key}: {_NO_VALUE}")
        elif key in _NATS and self.old.get("natsServer"):
            _NATS[key](self, key, value)
        elif key in _RENAMED:
            _RENAMED[key](self, key, value)
        elif key in NOT_SUPPORTED and value:
            self.notes.append(f"{key}: {NOT_SUPPORTED[key]}")
        elif key in NOT_NEEDED or key in NOT_SUPPORTED:
            self.notes.append(f"{key}: {NOT_NEEDED.get(key, _NO_VALUE)}")
        elif key in self._known:
            self.put(key, value)
            self.notes.append(f"{key}: copied")
        else:
            self.notes.append(f"{key}: left out: this program has no key with this meaning")

    def put(self, key: str, value: Any) -> None:
        """Set a key of the new document by its dotted name."""
        *sections, name = key.split(".")
        place = self.document
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value

    def rename(self, old: str, new: str, value: Any) -> None:
        """Copy a value to a key with another name; add a note."""
        self.put(new, value)
        self.notes.append(f"{old}: renamed to {new}")

    def hide(self, secret: Secret) -> None:
        """Add a secret, which gets a file of its own, and a note; skip an empty secret."""
        note = _NO_VALUE
        if secret.contents:
            self.secrets.append(secret)
            note = f"written to a file of its own, named by {secret.key}"
        self.notes.append(f"{secret.old_key}: {note}")


def _flat(old: Mapping[str, Any], known: frozenset[str]) -> list[tuple[str, Any]]:
    """Return dotted keys and values; an object named like a section of ours is flattened."""
    sections = {key.rpartition(".")[0] for key in known}
    pairs: list[tuple[str, Any]] = []
    for key, value in old.items():
        if key in sections and isinstance(value, dict):
            pairs += [(f"{key}.{name}", member) for name, member in value.items()]
        else:
            pairs.append((key, value))
    return pairs


def _host(conversion: _Conversion, key: str, value: Any) -> None:
    url = str(value).rstrip("/").removesuffix("/api")
    without_login, login = _url_parts(url, "https")
    if login:
        conversion.rename(key, "cc-backend.host", without_login)
        note = (
            "user and password in the URL are left out: cc-backend is accessed with the token only"
        )
        conversion.notes.append(f"{key}: {note}")
    elif key == "cc-backend.host" and url == value:
        conversion.put(key, value)
        conversion.notes.append(f"{key}: copied")
    else:
        conversion.rename(key, "cc-backend.host", url)


def _url_parts(text: str, scheme: str) -> tuple[str, str]:
    """Return a URL without its login, and the login: `USER:PASSWORD`, or a token."""
    given, _, rest = text.rpartition("://")
    login, _, place = rest.rpartition("@")
    return f"{given or scheme}://{place}", login


def _token(conversion: _Conversion, key: str, value: Any) -> None:
    conversion.hide(Secret(key, "cc-backend.token_file", "token", str(value or "")))


def _ignored_hosts(conversion: _Conversion, key: str, value: Any) -> None:
    if value:
        conversion.put(key, value)
    conversion.notes.append(f"{key}: {'copied' if value else _NO_VALUE}")


def _broker(conversion: _Conversion, key: str, value: Any) -> None:
    conversion.put("nats.mode", "notify")
    conversion.put("nats.subject", conversion.old.get("natsSubject") or _NATS_SUBJECT)
    port = conversion.old.get("natsPort") or _NATS_PORT
    brokers = [_url_parts(each.strip(), "nats") for each in str(value).split(",")]
    urls = [url if url.count(":") > 1 else f"{url}:{port}" for url, _ in brokers]
    conversion.rename(key, "nats.servers", urls)
    login = next((login for _, login in brokers if login), "")
    user, colon, password = login.partition(":")
    if colon:
        conversion.rename(key, "nats.user", unquote(user))
        conversion.hide(Secret(key, "nats.password_file", "nats-password", unquote(password)))
    elif login:
        conversion.notes.append(f"{key}: {_NO_USER_IN_URL}")


def _unless_in_url(
    convert_key: Callable[[_Conversion, str, Any], None],
) -> Callable[[_Conversion, str, Any], None]:
    """Return a converter that drops its key if the broker's URL contains a login."""

    def convert_or_drop(conversion: _Conversion, key: str, value: Any) -> None:
        if "@" in str(conversion.old["natsServer"]):
            note = "not used: the credentials in natsServer take precedence"
            conversion.notes.append(f"{key}: {note}")
        else:
            convert_key(conversion, key, value)

    return convert_or_drop


def _broker_port(conversion: _Conversion, key: str, _value: Any) -> None:
    conversion.notes.append(f"{key}: moved into the URL in nats.servers")


def _broker_password(conversion: _Conversion, key: str, value: Any) -> None:
    conversion.hide(Secret(key, "nats.password_file", "nats-password", str(value or "")))


def _named(new: str) -> Callable[[_Conversion, str, Any], None]:
    def rename(conversion: _Conversion, key: str, value: Any) -> None:
        if value:
            conversion.rename(key, new, value)
        else:
            conversion.notes.append(f"{key}: {_NO_VALUE}")

    return rename


_RENAMED: dict[str, Callable[[_Conversion, str, Any], None]] = {
    "ccRestUrl": _host,
    "cc-backend.host": _host,
    "ccRestJwt": _token,
    "cc-backend.apikey": _token,
    "ignoreHosts": _ignored_hosts,
}
_NATS: dict[str, Callable[[_Conversion, str, Any], None]] = {
    "natsServer": _broker,
    "natsPort": _broker_port,
    "natsSubject": _named("nats.subject"),
    "natsUser": _unless_in_url(_named("nats.user")),
    "natsPassword": _unless_in_url(_broker_password),
    "natsCredsFile": _named("nats.creds_file"),
}

"""Decodes `scontrol show config`, `scontrol ping` and `sacctmgr show` into plain values."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence

from slurm.decode.fields.scalars import utc_instant
from slurm.errors import FailureReason, SlurmError

_LINE = re.compile(r"([A-Za-z_]\w*)(?:\[\d+\])?\s*= ?(.*)")
_PING = re.compile(r"^Slurmctld\((\w+)\) at (\S+) is (UP|DOWN)", re.MULTILINE)
_USER = re.compile(r"(.+)\(([0-9]+)\)")
_PING_END = "Slurmctld("
_AS_OF = re.compile(r"^Configuration data as of (\S+)", re.MULTILINE)
AS_OF = "Configuration data as of"

SlurmSettings = Mapping[str, tuple[str, ...]]
"""slurm.conf as the controller sees it: name to values, () for `(null)`."""


def parse_config(stdout: bytes) -> SlurmSettings:
    """Return every setting with its values: several where it may be repeated (`[0]`, `[1]`).

    Names and values are as printed, `(null)` is not a value; `AS_OF` is the controller's clock. The
    hook lines of Slurm 24.05 and later are numbered (`PrologSlurmctld[0]`).

    Raises:
        SlurmError: the answer ends before the controllers' state, or has no ClusterName.
    """
    text = stdout.decode("utf-8", "replace")
    settings: dict[str, tuple[str, ...]] = {}
    if (head := _AS_OF.search(text)) is not None:
        settings[AS_OF] = (head[1],)
    for line in text.splitlines():
        found = _LINE.fullmatch(line.rstrip())
        if found is not None:
            values = settings.get(found[1], ())
            settings[found[1]] = values if found[2] == "(null)" else (*values, found[2])
    if "ClusterName" not in settings or _PING_END not in text:
        raise SlurmError("the configuration is incomplete", reason=FailureReason.INCOMPLETE)
    return settings


def config_time(settings: SlurmSettings, name: str) -> int | None:
    """Return a time of the configuration (`AS_OF`, `BOOT_TIME`) in Unix seconds; None without it.

    It is epoch seconds where SLURM_TIME_FORMAT works, else ISO 8601 in UTC, as we set TZ.
    """
    values = settings.get(name)
    return utc_instant(values[0]) if values else None


def parse_controllers(stdout: bytes) -> tuple[tuple[str, str, bool], ...]:
    """Return role, host and up state (a bool) of each controller, from `scontrol ping`."""
    text = stdout.decode("utf-8", "replace")
    return tuple((found[1], found[2], found[3] == "UP") for found in _PING.finditer(text))


def active_elsewhere(
    controllers: Sequence[tuple[str, str, bool]], host: str | None = None
) -> str | None:
    """Return the active controller's host if there are several and it is not this host."""
    if len(controllers) <= 1:
        return None
    active = next((name for _, name, is_up in controllers if is_up), None)
    own = (host or socket.gethostname()).partition(".")[0]
    return None if active is None or active.partition(".")[0] == own else active


def has_accounting(config: SlurmSettings) -> bool:
    """Return whether the cluster has accounting (AccountingStorageType)."""
    kind = next(iter(config.get("AccountingStorageType", ())), "none")
    return not kind.endswith("none")


def slurm_user_of(config: SlurmSettings) -> str:
    """Return SlurmUser's name (`slurm(64030)` in the configuration)."""
    value = next(iter(config.get("SlurmUser", ())), "root")
    found = _USER.fullmatch(value)
    return found[1] if found else value


def private_data_of(config: SlurmSettings) -> frozenset[str]:
    """Return the values of `PrivateData`."""
    return words_of(next(iter(config.get("PrivateData", ())), ""))


def words_of(value: str) -> frozenset[str]:
    """Return the words of a comma-separated list, without `none` and `(null)`."""
    return frozenset(value.strip().split(",")) - {"", "none", "(null)"}


_DBD = "SlurmDBD configuration:"
_PRIVATE = re.compile(r"^PrivateData\s*= ?(.*)$", re.MULTILINE)


def parse_private_accounting(stdout: bytes) -> frozenset[str] | None:
    """Return `PrivateData` of slurmdbd.conf from `sacctmgr show configuration`; None: not there."""
    _, _, text = stdout.decode("utf-8", "replace").partition(_DBD)
    found = _PRIVATE.search(text)
    return None if found is None else words_of(found[1])


def parse_admin_level(stdout: bytes, user: str) -> str | None:
    """Return AdminLevel from `sacctmgr -n -P show user format=User,AdminLevel`; None: unknown."""
    for line in stdout.decode("utf-8", "replace").splitlines():
        name, _, level = line.partition("|")
        if name == user:
            return level
    return None

"""`scontrol show config`, `scontrol ping` and `scontrol show node` as plain values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from slurm.errors import FailureReason, SlurmError

_LINE = re.compile(r"([A-Za-z_]\w*)(?:\[\d+\])?\s*= ?(.*)")
_PING = re.compile(r"^Slurmctld\((\w+)\) at (\S+) is (UP|DOWN)", re.MULTILINE)
_NODE = re.compile(r"^NodeName=(\S+) ", re.MULTILINE)
_CORES = re.compile(r"\bCoresPerSocket=(\d+)")
_SOCKETS = re.compile(r"\bSockets=(\d+)")
_THREADS = re.compile(r"\bThreadsPerCore=(\d+)")
_PING_END = "Slurmctld("
_AS_OF = re.compile(r"Configuration data as of (\S+)")
AS_OF = "Configuration data as of"


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sockets of a node as Slurm counts them, cores of each, hardware threads of each core."""

    sockets: int
    cores_per_socket: int
    threads_per_core: int = 1


def parse_config(stdout: bytes) -> Mapping[str, tuple[str, ...]]:
    """Return every setting with its values: several where it may be repeated (`[0]`, `[1]`).

    Names and values are as printed, `(null)` is no value; `AS_OF` is the controller's clock. The
    hook lines of Slurm 24.05 and later are numbered (`PrologSlurmctld[0]`).

    Raises:
        SlurmError: the answer ends before the controllers' state, or names no cluster.
    """
    text = stdout.decode("utf-8", "replace")
    settings: dict[str, tuple[str, ...]] = {}
    if (head := _AS_OF.match(text)) is not None:
        settings[AS_OF] = (head[1],)
    for line in text.splitlines():
        found = _LINE.fullmatch(line.rstrip())
        if found is not None:
            values = settings.get(found[1], ())
            settings[found[1]] = values if found[2] == "(null)" else (*values, found[2])
    if "ClusterName" not in settings or _PING_END not in text:
        raise SlurmError("the configuration is not whole", reason=FailureReason.INCOMPLETE)
    return settings


def config_time(settings: Mapping[str, tuple[str, ...]], name: str) -> int | None:
    """Return a time of the configuration (`AS_OF`, `BOOT_TIME`) in Unix seconds; None without it.

    It is epoch seconds where SLURM_TIME_FORMAT is heeded, else ISO 8601 in the UTC we ask with.
    """
    values = settings.get(name)
    try:
        return int(values[0]) if values else None
    except ValueError:
        return _utc(values[0]) if values else None


def _utc(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None


def parse_controllers(stdout: bytes) -> tuple[tuple[str, str, bool], ...]:
    """Return role, host and whether it is up of each controller, from `scontrol ping`."""
    text = stdout.decode("utf-8", "replace")
    return tuple((found[1], found[2], found[3] == "UP") for found in _PING.finditer(text))


def parse_geometries(stdout: bytes) -> Mapping[str, Geometry]:
    """Return the geometry of each node by name, from `scontrol show node`."""
    text = stdout.decode("utf-8", "replace")
    starts = [*_NODE.finditer(text)]
    ends = [*(found.start() for found in starts), len(text)][1:]
    geometries: dict[str, Geometry] = {}
    for found, end in zip(starts, ends, strict=True):
        cores = _CORES.search(text, found.start(), end)
        sockets = _SOCKETS.search(text, found.start(), end)
        threads = _THREADS.search(text, found.start(), end)
        if cores and sockets and threads:
            geometries[found[1]] = Geometry(int(sockets[1]), int(cores[1]), int(threads[1]))
    return geometries

"""Readers and warnings for the section `metrics` of the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from slurm.type_names import Any
from spool.config.readers import InvalidValueError, Location, absolute_path, text

LOOPBACK = "127.0.0.1"
_LISTEN_HINT = 'write a port (1024 to 65535), or "HOST:PORT" to listen on another address'
_MIN_PORT, _MAX_PORT = 1024, 65535
_ADDRESS = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})"


def textfile(value: Any, location: Location) -> Path:
    """Read the path of a file for node_exporter's textfile collector."""
    found = absolute_path(value, location)
    if found.suffix != ".prom":
        hint = "write a file name that ends with .prom"
        raise InvalidValueError("node_exporter reads only files named *.prom", hint)
    return found


def listen_address(value: Any, location: Location) -> tuple[str, int]:
    """Read a port, which means 127.0.0.1, or `HOST:PORT`; return host and port."""
    if isinstance(value, int) and not isinstance(value, bool):
        host, port = LOOPBACK, value
    else:
        found = re.fullmatch(_ADDRESS, text(value, location))
        if found is None:
            raise InvalidValueError("not a port or HOST:PORT", _LISTEN_HINT)
        host, port = found[1].strip("[]"), int(found[2])
    if not _MIN_PORT <= port <= _MAX_PORT:
        raise InvalidValueError("the service is not permitted to use this port", _LISTEN_HINT)
    return host, port


def textfile_warnings(path: Path | None) -> Iterator[str]:
    """Yield a warning if the metrics file's directory is missing; jobs are reported anyway."""
    if path is not None and not path.parent.is_dir():
        yield f"metrics.textfile: no directory {path.parent}: create it (docs/monitoring.md)"

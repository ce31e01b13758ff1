"""Write events into the spool, as the hooks do; the module `event` parses them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from spool.errors import BadFileError
from spool.files.durable_files import NewFile, create_file
from spool.files.event import NO_EXTRAS, EventKind, event_name, parse_event_name
from spool.files.layout import Directory, Layout

_KEY = r"[a-z_]{1,40}"
_VALUE = r"[A-Za-z0-9_.,:()\[\]@%+=/-]+"  # as `event` reads it


def new_event(
    kind: EventKind,
    job_id: int,
    *,
    start: int | None = None,
    end: int | None = None,
    extras: Mapping[str, str] = NO_EXTRAS,
) -> NewFile:
    """Return the file of an event; instants in Unix seconds.

    Raises:
        BadFileError: these facts cannot be written as an event.
    """
    name = event_name(kind, job_id, start=start, end=end, pid=os.getpid())
    return _event_file(name, extras, None)


def put_event(layout: Layout, name: str, extras: Mapping[str, str], time: float | None) -> bool:
    """Put an event of this name into `new/`; return False if it waits there already.

    It appears there complete, so that a drain never reads it without its extras. It is not durable:
    a power cut may lose it.

    Raises:
        BadFileError: the name or the extras are not valid.
        OSError: it cannot be written; nothing is left of it.
    """
    return create_file(layout, Directory.NEW, _event_file(name, extras, time), durable=False)


def _event_file(name: str, extras: Mapping[str, str], time: float | None) -> NewFile:
    parse_event_name(name, time=0)
    for key, value in extras.items():
        if not (re.fullmatch(_KEY, key) and re.fullmatch(_VALUE, value)):
            raise BadFileError(name, f"field {key!r} has characters that an event cannot contain")
    lines = "".join(f"{key}={value}\n" for key, value in extras.items())
    return NewFile(name=name, contents=lines.encode() + b"end\n", mtime=time)

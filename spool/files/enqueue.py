"""Write an event as hooks do, for the sweeper and `replay`: atomically under its name.

It appears in `new/` complete, so that a drain never reads it without its extras. A file of the same
name is the same event: then nothing is written. No fsync: an event is a hint, and its writer can
write it again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TypedDict, Unpack

from spool.errors import BadFileError
from spool.files.durable_files import NewFile, create_file
from spool.files.event import EventKind, event_name, parse_event_name
from spool.files.layout import Directory, Layout

_KEY = re.compile(r"[a-z_]{1,40}", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9_.,:()\[\]@%+=/-]+", re.ASCII)  # as `event` reads it


class EventFields(TypedDict, total=False):
    """The optional facts of an event besides kind and job id; instants in Unix seconds.

    `now` becomes the event's time, the present by default.
    """

    start: int | None
    end: int | None
    extras: Mapping[str, str]
    now: float | None


def enqueue(layout: Layout, kind: EventKind, job_id: int, **fields: Unpack[EventFields]) -> str:
    """Put an event into `new/`; return its name. Safe to repeat.

    Raises:
        BadFileError: these facts cannot be written as an event.
        OSError: it cannot be written; nothing is left of it.
    """
    start, end = fields.get("start"), fields.get("end")
    name = event_name(kind, job_id, start=start, end=end, pid=os.getpid())
    put_event(layout, name, fields.get("extras", {}), fields.get("now"))
    return name


def put_event(layout: Layout, name: str, extras: Mapping[str, str], time: float | None) -> bool:
    """Put an event of this name into `new/`; return False if it waits there already.

    Raises:
        BadFileError: that is not an event.
        OSError: it cannot be written; nothing is left of it.
    """
    parse_event_name(name, time=0)
    event = NewFile(name, _encode_extras(name, extras), time)
    return create_file(layout, Directory.NEW, event, durable=False)


def _encode_extras(name: str, extras: Mapping[str, str]) -> bytes:
    for key, value in extras.items():
        if not (_KEY.fullmatch(key) and _VALUE.fullmatch(value)):
            raise BadFileError(name, f"the extra {key!r} has characters that an event cannot hold")
    return "".join(f"{key}={value}\n" for key, value in extras.items()).encode() + b"end\n"

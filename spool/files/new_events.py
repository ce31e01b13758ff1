"""Write events into the spool, as the hooks do; `event` reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TypedDict, Unpack

from spool.errors import BadFileError
from spool.files.durable_files import NewFile, create_file
from spool.files.event import NO_EXTRAS, EventKind, event_name, parse_event_name
from spool.files.layout import Directory, Layout

_KEY = r"[a-z_]{1,40}"
_VALUE = r"[A-Za-z0-9_.,:()\[\]@%+=/-]+"  # as `event` reads it


class EventFields(TypedDict, total=False):
    """The optional facts of an event besides kind and job id; instants in Unix seconds.

    `now` becomes the event's time, the present by default.
    """

    start: int | None
    end: int | None
    extras: Mapping[str, str]
    now: float | None


def new_event(kind: EventKind, job_id: int, **fields: Unpack[EventFields]) -> NewFile:
    """Return the file of an event.

    Raises:
        BadFileError: these facts cannot be written as an event.
    """
    start, end = fields.get("start"), fields.get("end")
    name = event_name(kind, job_id, start=start, end=end, pid=os.getpid())
    return _event_file(name, fields.get("extras", NO_EXTRAS), fields.get("now"))


def enqueue(layout: Layout, kind: EventKind, job_id: int, **fields: Unpack[EventFields]) -> str:
    """Put an event into `new/`; return its name. Safe to repeat.

    It appears there complete, so that a drain never reads it without its extras. A file of the same
    name is the same event: then nothing is written. It is not durable: a power cut may lose it.

    Raises:
        BadFileError: these facts cannot be written as an event.
        OSError: it cannot be written; nothing is left of it.
    """
    event = new_event(kind, job_id, **fields)
    create_file(layout, Directory.NEW, event, durable=False)
    return event.name


def put_event(layout: Layout, name: str, extras: Mapping[str, str], time: float | None) -> bool:
    """Put an event of this name into `new/`; return False if it waits there already.

    Raises:
        BadFileError: that is not an event.
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

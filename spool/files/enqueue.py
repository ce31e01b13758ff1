"""Write an event as hooks do, for the sweeper and `replay`: whole under its name, or not at all.

The file is written into `tmp/` and linked into `new/`, so that a drain never reads it without its
extras. A name that is there already says the same: nothing is written. No fsync: an event is a
hint, and who wrote it can write it again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TypedDict, Unpack

from spool.errors import EventError
from spool.files.event import Kind, event_name, parse_name
from spool.files.layout import Directory, Layout

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE = 0o640
_KEY = re.compile(r"[a-z_]{1,40}", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9_.,:()\[\]@%+=/-]+", re.ASCII)  # as `event` reads it


class Hint(TypedDict, total=False):
    """What an event may say beside kind and job id; instants in Unix seconds.

    `now` becomes the event's time, the present by default.
    """

    start: int | None
    end: int | None
    extras: Mapping[str, str]
    now: float | None


def enqueue(layout: Layout, kind: Kind, job_id: int, **hint: Unpack[Hint]) -> str:
    """Put an event into `new/`; return its name. Safe to repeat.

    Raises:
        EventError: no event can say that.
        OSError: it cannot be written; nothing is left of it.
    """
    start, end = hint.get("start"), hint.get("end")
    name = event_name(kind, job_id, start=start, end=end, pid=os.getpid())
    put_event(layout, name, hint.get("extras", {}), hint.get("now"))
    return name


def put_event(layout: Layout, name: str, extras: Mapping[str, str], time: float | None) -> bool:
    """Put an event of this name into `new/`; False if it waits there already.

    Raises:
        EventError: that is no event.
        OSError: it cannot be written; nothing is left of it.
    """
    parse_name(name, time=0)
    contents = _contents(name, extras)
    tmp, new = layout.fd(Directory.TMP), layout.fd(Directory.NEW)
    draft = f"{name}.{Directory.NEW}.{os.getpid()}"
    fd = os.open(draft, _CREATE, _MODE, dir_fd=tmp)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(contents)
        if time is not None:
            os.utime(draft, (time, time), dir_fd=tmp)
        os.link(draft, name, src_dir_fd=tmp, dst_dir_fd=new)
    except FileExistsError:
        return False
    finally:
        os.unlink(draft, dir_fd=tmp)
    return True


def _contents(name: str, extras: Mapping[str, str]) -> bytes:
    for key, value in extras.items():
        if not (_KEY.fullmatch(key) and _VALUE.fullmatch(value)):
            raise EventError(name, f"the extra {key!r} cannot be written")
    return "".join(f"{key}={value}\n" for key, value in extras.items()).encode() + b"end\n"

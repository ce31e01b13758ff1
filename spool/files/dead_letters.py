"""Dead letters: files that were rejected or cannot be understood, with a reason and a hint.

A dead run is a run file whose `last_error` has cc-backend's message and the request. Any other file
keeps its contents under a safe name and gets a file `NAME.why`:
{"version": 1, "name": str, "from": "new" | "todo" | "open", "time": int, "reason": str,
"hint": str}
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, replace

from spool.errors import BadFileError
from spool.escaping import escape
from spool.files import codec
from spool.files.durable_files import WriteBatch
from spool.files.layout import Directory, Layout
from spool.files.run import LastError, Run

WHY_SUFFIX = ".why"
WHY_LIMIT_BYTES = 64 * 1024
_PARSE_ERRORS = (ValueError, LookupError, TypeError, OverflowError, RecursionError)
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterReason:
    """Why a file that is not a run is in `dead/`; `name` and `directory` are its origin."""

    name: str
    directory: Directory
    time: int
    reason: str
    hint: str


def move_run_to_dead(batch: WriteBatch, run: Run, error: LastError) -> Run:
    """Move a run to `dead/` when the batch commits; return it with its error."""
    dead = replace(run, last_error=error)
    batch.put(Directory.DEAD, run.name, codec.encode(dead))
    batch.remove(Directory.TODO, run.name)
    batch.remove(Directory.OPEN, run.name)
    return dead


def move_file_to_dead(layout: Layout, why: DeadLetterReason) -> str:
    """Move any file to `dead/` with its reason, durably; return its name there.

    Raises:
        OSError: it could not be moved (a directory of another user, a full disk).
    """
    name = safe_name(why.name)
    document = {
        "version": 1,
        "name": why.name,
        "from": why.directory,
        "time": why.time,
        "reason": escape(why.reason),
        "hint": why.hint,
    }
    batch = WriteBatch(layout)
    batch.put(Directory.DEAD, name + WHY_SUFFIX, json.dumps(document).encode() + b"\n")
    batch.commit()
    try:
        layout.rename(why.directory, why.name, Directory.DEAD, name)
    except OSError:
        layout.unlink(Directory.DEAD, name + WHY_SUFFIX)
        raise
    layout.fsync(Directory.DEAD)
    return name


def safe_name(name: str) -> str:
    """Return a name that is harmless in a listing; a harmless name is returned unchanged."""
    if _SAFE_NAME.fullmatch(name) and not name.endswith(WHY_SUFFIX):
        return name
    return "strange-" + hashlib.sha256(os.fsencode(name)).hexdigest()[:20]


def read_why(layout: Layout, name: str) -> DeadLetterReason | None:
    """Return why a file is in `dead/`; None if there is no readable reason."""
    try:
        found = layout.read(Directory.DEAD, name + WHY_SUFFIX, WHY_LIMIT_BYTES)
        document = json.loads(found.contents or b"")
        return DeadLetterReason(
            name=str(document["name"]),
            directory=Directory(document["from"]),
            time=int(document["time"]),
            reason=str(document["reason"]),
            hint=str(document["hint"]),
        )
    except (OSError, BadFileError, *_PARSE_ERRORS):
        return None

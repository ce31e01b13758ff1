"""The file `NAME.why`: why a file that is not a run is in `dead/`.

{"version": 1, "name": str, "from": "new" | "todo" | "open", "time": int, "reason": str,
"hint": str}
"""

from __future__ import annotations

import json

from slurm.light_dataclass import light_dataclass
from spool.errors import BadFileError
from spool.escaping import escape
from spool.files.file_times import WHY_SUFFIX
from spool.files.layout import Directory, Layout

WHY_LIMIT_BYTES = 64 * 1024
REPAIR_HINT = (
    "repair the file and type `cc-spool retry ID`, or give it up with `cc-spool discard ID`"
)
_PARSE_ERRORS = (ValueError, LookupError, TypeError, OverflowError, RecursionError)


@light_dataclass
class DeadLetterReason:
    """Why a file that is not a run is in `dead/`; `name` and `directory` are its origin."""

    name: str
    directory: Directory
    time: int
    reason: str
    hint: str


def encode_why(why: DeadLetterReason) -> bytes:
    """Return the bytes of a `.why` file."""
    document = {
        "version": 1,
        "name": why.name,
        "from": why.directory,
        "time": why.time,
        "reason": escape(why.reason),
        "hint": why.hint,
    }
    return json.dumps(document).encode() + b"\n"


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

"""An event on disk: its name holds the facts, its contents are extras that may be missing.

Name: `1-<start|stop|close|retry>-<job id>-<start|0>-<end|0>-<pid>`; 1 is the format version, times
are Unix seconds. The hooks write start and stop, the sweeper also close, `cc-spool retry` retry:
deliver the waiting runs of this job id (0: all waiting runs) now. Contents are `key=value` lines
and a last line `end`; without it they count as truncated and are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from types import MappingProxyType

from slurm.light_dataclass import slotted_dataclass
from spool.errors import BadFileError, NewerFormatError

FORMAT = 1
EXTRAS_LIMIT_BYTES = 64 * 1024
NO_EXTRAS: Mapping[str, str] = MappingProxyType({})
"""One for all events without: there may be hundreds of thousands."""
SWEEP_EXTRAS = frozenset({"again", "not_before"})  # one of them is in every event of a sweep
_VERSION = r"([0-9]{1,9})-"
_NUMBER = r"(0|[1-9][0-9]{0,11})"
_NAME = re.compile(
    rf"1-(start|stop|close|retry)-{_NUMBER}-{_NUMBER}-{_NUMBER}-([0-9]{{1,20}})", re.ASCII
)
_EXTRA = rb"([a-z_]{1,40})=([A-Za-z0-9_.,:()\[\]@%+=/-]*)"


class EventKind(StrEnum):
    """The kind of an event.

    A run started, a run ended, the sweeper closes a run without proof, or the operator asks for
    an immediate retry.
    """

    START = "start"
    STOP = "stop"
    CLOSE = "close"
    RETRY = "retry"


@slotted_dataclass
class Event:
    """An event about a job id (0: all jobs). `time` is the file's mtime, Unix seconds."""

    name: str
    kind: EventKind
    job_id: int
    start: int | None
    end: int | None
    time: float
    extras: Mapping[str, str] = field(default_factory=lambda: NO_EXTRAS)

    @property
    def is_of_hook(self) -> bool:
        """Return whether a hook wrote the event: start or stop, without the extras of a sweep."""
        is_kind = self.kind in {EventKind.START, EventKind.STOP}
        return is_kind and not SWEEP_EXTRAS.intersection(self.extras)


def parse_event_name(name: str, *, time: float, extras: Mapping[str, str] | None = None) -> Event:
    """Return the event of a file name in `new/`.

    Raises:
        NewerFormatError: a later format version; the file must not be touched.
        BadFileError: the name is outside the grammar.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        version = re.match(_VERSION, name)
        if version and int(version[1]) > FORMAT:
            raise NewerFormatError(name, int(version[1]))
        raise BadFileError(name, "not a valid name of an event file")
    kind, job_id, start, end = EventKind(match[1]), int(match[2]), int(match[3]), int(match[4])
    if kind is EventKind.RETRY and (start or end):
        raise BadFileError(name, "a retry event must not have a start or an end time")
    if job_id == 0 and kind is not EventKind.RETRY:
        raise BadFileError(name, "the job id in its name is 0")
    if kind is EventKind.CLOSE and not (start and end):
        raise BadFileError(name, "a close event must have a start and an end time")
    return Event(
        name=name,
        kind=kind,
        job_id=job_id,
        start=start or None,
        end=end or None,
        time=time,
        extras=extras or NO_EXTRAS,
    )


def event_name(
    kind: EventKind, job_id: int, *, start: int | None, end: int | None, pid: int
) -> str:
    """Return the file name of an event; the inverse of `parse_event_name`."""
    return f"{FORMAT}-{kind}-{job_id}-{start or 0}-{end or 0}-{pid}"


def is_complete(contents: bytes) -> bool:
    """Return whether an event's contents end with the line `end`; else a hook may still write."""
    return contents == b"end\n" or contents.endswith(b"\nend\n")


def parse_extras(contents: bytes) -> Mapping[str, str]:
    """Return the valid `key=value` pairs of an event; {} if it is truncated or too large."""
    if len(contents) > EXTRAS_LIMIT_BYTES or not is_complete(contents):
        return {}
    pairs = (re.fullmatch(_EXTRA, line) for line in contents.splitlines())
    return {pair[1].decode(): pair[2].decode() for pair in pairs if pair and pair[2]}

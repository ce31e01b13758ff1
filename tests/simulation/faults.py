"""What fails now: one field for each class of faults.

Each phase of `simulation.plan` sets a field when it begins and resets it when it ends. The virtual
Slurm, cc-backend and disk only read `Faults`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

Answer = tuple[int, str]
# Answers of an outage: status and body; status 0 is no answer at all, the text says why.
OUTAGES: tuple[Answer, ...] = (
    (500, '{"status":"Internal Server Error","error":"database is locked"}'),
    (500, ""),
    (500, "panic"),
    (501, "not implemented"),
    (502, "<html>bad gateway</html>"),
    (503, "unavailable"),
    (504, ""),
    (507, "insufficient storage"),
    (521, "web server is down"),
    (402, "payment required"),
    (408, ""),
    (410, "gone"),
    (421, "misdirected"),
    (422, '{"error":"something new"}'),
    (429, "slow down"),
    (200, "<html>login</html>"),
    (0, "unreachable"),
    (0, "broken"),
    (0, "timed_out"),
)
HALTS: tuple[Answer, ...] = (
    (401, '{"error":"unauthorized"}'),
    (403, "<html>forbidden</html>"),
    (301, ""),
    (404, "<html>not here</html>"),
    (405, ""),
)
SINGLE: tuple[Answer, ...] = (*OUTAGES, *HALTS)


@dataclass(slots=True)
class Faults:
    """The active faults. Empty or False: no fault of this class.

    `outage`, `starts_fail`, `stops_fail`: the answer that all requests (of a kind) get.
    `poison`: job id to the answer that its start, stop or both get. `refused_word`: bodies that
    hold this word get `refused_answer`. `silent`: starts of these job ids are never answered.
    """

    outage: Answer | None = None
    starts_fail: Answer | None = None
    stops_fail: Answer | None = None
    clusters_fail: bool = False
    poison: dict[int, tuple[str, Answer]] = field(default_factory=dict)
    refused_answer: Answer | None = None
    silent: set[int] = field(default_factory=set)
    lost_share: float = 0.0
    delayed_share: float = 0.0
    token: str = ""
    unknown_hosts: set[str] = field(default_factory=set)
    unknown_once: set[str] = field(default_factory=set)
    controller_hangs: str = ""
    accounting_hangs: str = ""
    unreadable_records: set[int] = field(default_factory=set)
    unreadable_share: float = 0.0
    texts_hang: float = 0.0
    names_fail: bool = False
    disk: str = ""
    disk_share: float = 1.0
    random: Random = field(default_factory=Random)

    def is_unreadable_record(self, job_id: int) -> bool:
        """Return whether a record cannot be read now."""
        share = self.unreadable_share
        return bool(share) and (job_id * 2654435761 % 1000) / 1000 < share

    def disk_fault(self, operation: str, name: str) -> None:
        """Make an operation on the disk fail if the field `disk` says so.

        Raises:
            OSError: it failed.
        """
        number = _DISK_FAULTS[self.disk](operation, name) if self.disk else 0
        if number and self.random.random() < self.disk_share:
            raise OSError(number, os.strerror(number), name)


def _full(operation: str, _name: str) -> int:
    return errno.ENOSPC if operation in {"write", "open_write"} else 0


def _unreadable(operation: str, name: str) -> int:
    return errno.EIO if operation == "read" and name.endswith(".json") else 0


def _denied(operation: str, name: str) -> int:
    return errno.EACCES if operation == "open" and name.endswith(".json") else 0


def _unsynced(operation: str, _name: str) -> int:
    return errno.EIO if operation == "fsync" else 0


_DISK_FAULTS: dict[str, Callable[[str, str], int]] = {
    "full": _full,
    "unreadable": _unreadable,
    "denied": _denied,
    "unsynced": _unsynced,
}

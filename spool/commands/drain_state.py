"""What the drain last said of itself and of cc-backend (`drain.json`), believed with care.

The file may be old, damaged or of another version: what is not as expected is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from spool.files.lock import LockState, holder_pid, lock_state
from spool.files.state_files import DRAIN_LOCK_FILE, DRAIN_STATE_FILE, read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainState:
    """The drain as its files show it; instants in Unix seconds, None where nothing is known.

    `health` is `up`, `down` or `halted`, `since` and `reason` belong to it.
    """

    lock: LockState
    pid: int | None = None
    updated: float | None = None
    health: str | None = None
    since: float | None = None
    reason: str = ""
    next_probe: float | None = None
    version: str | None = None
    dialect: str | None = None
    slurm_silent_since: float | None = None
    disk_full: bool = False
    unknown_hosts: int = 0

    @property
    def is_running(self) -> bool:
        """Tell whether a drain holds the lock."""
        return self.lock is LockState.HELD

    @property
    def is_halted(self) -> bool:
        """Tell whether deliveries wait for an operator."""
        return self.health == "halted"

    @property
    def is_down(self) -> bool:
        """Tell whether cc-backend did not answer."""
        return self.health == "down"


def read_drain_state(state_directory: Path) -> DrainState:
    """Return what the drain's files in a state directory say."""
    document = read_json(state_directory / DRAIN_STATE_FILE)
    lock = lock_state(state_directory / DRAIN_LOCK_FILE)
    destination, server = _object(document, "destination"), _object(document, "server")
    return DrainState(
        lock=lock,
        pid=holder_pid(state_directory / DRAIN_STATE_FILE) if lock is LockState.HELD else None,
        updated=number(document.get("updated")),
        health=_text(destination.get("health")),
        since=number(destination.get("since")),
        reason=_text(destination.get("reason")) or "",
        next_probe=number(destination.get("next_probe")),
        version=_text(server.get("version")),
        dialect=_text(server.get("dialect")),
        slurm_silent_since=number(document.get("slurm_silent_since")),
        disk_full=document.get("disk_full") is True,
        unknown_hosts=int(number(document.get("unknown_hosts")) or 0),
    )


def number(value: Any) -> float | None:
    """Return a finite number, None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and isfinite(value) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _object(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}

"""The state of the drain as its lock and its state file show it to other commands."""

from __future__ import annotations

import logging
from dataclasses import field
from pathlib import Path

from slurm.light_dataclass import light_dataclass
from spool.errors import BadFileError
from spool.files.drain_state import DrainState, HealthState, read_drain_state
from spool.files.lock import LockState, holder_pid, lock_state
from spool.files.state_files import DRAIN_LOCK_FILE, DRAIN_STATE_FILE


@light_dataclass
class DrainView:
    """The drain's lock, process id, and state, which has default values without a state file."""

    lock: LockState
    pid: int | None = None
    state: DrainState = field(default=DrainState())

    @property
    def is_running(self) -> bool:
        """Return whether a drain holds the lock."""
        return self.lock is LockState.HELD

    @property
    def is_halted(self) -> bool:
        """Return whether deliveries wait for an administrator."""
        return self.state.health.state is HealthState.HALTED

    @property
    def is_down(self) -> bool:
        """Return whether cc-backend did not answer."""
        return self.state.health.state is HealthState.DOWN


def read_drain_view(state_directory: Path) -> DrainView:
    """Return the drain's lock and state; ignore a damaged state file and log a warning."""
    path = state_directory / DRAIN_STATE_FILE
    lock = lock_state(state_directory / DRAIN_LOCK_FILE)
    try:
        state = read_drain_state(path)
    except (BadFileError, OSError) as error:
        logging.getLogger(__name__).warning("the drain's state file is ignored: %s", error)
        return DrainView(lock=lock)
    pid = holder_pid(path) if lock is LockState.HELD else None
    return DrainView(lock=lock, pid=pid, state=state or DrainState())

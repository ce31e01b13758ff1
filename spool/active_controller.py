"""Which of several controllers is active: only its host reports what is true of the cluster."""

from __future__ import annotations

import socket


def active_elsewhere(
    controllers: tuple[tuple[str, str, bool], ...], host: str | None = None
) -> str | None:
    """Return the host of the active controller if there are several and it is not this one."""
    if len(controllers) < 2:  # noqa: PLR2004 - a pair
        return None
    active = next((name for _, name, is_up in controllers if is_up), None)
    own = (host or socket.gethostname()).partition(".")[0]
    return None if active is None or active.partition(".")[0] == own else active

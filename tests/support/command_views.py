"""Filled spools and drain states for tests of the commands that show them."""

from __future__ import annotations

import os
import time
from typing import Any

from command_site import NOON, REFUSED, CommandSite, run_of

from spool.files.drain_state import (
    DrainState,
    DrainStateFile,
    HealthReport,
    HealthState,
    WaitingCause,
)
from spool.files.layout import Directory
from spool.files.run import End, EndSource

END = End(time=NOON + 100, state="COMPLETED", source=EndSource.CONTROLLER)
DONE = run_of(started=NOON, end=END)
EVENT = "1-start-7-0-0-77"
HALTED = {"health": "halted", "since": NOON, "reason": "401: bad token", "next_probe": NOON + 300}
N1 = WaitingCause(cause="host n1 is unknown to cc-backend", count=3, since=NOON)


def say(site: CommandSite, **fields: Any) -> None:
    """Write the state file of a healthy drain with some fields changed."""
    health = HealthReport(state=HealthState.UP, since=NOON)
    state = DrainState(**{"pid": os.getpid(), "started": NOON, "health": health, **fields})
    DrainStateFile(site.state / "drain.json").write(state, time.time())


def filled(site: CommandSite) -> CommandSite:
    """Put a file into every directory of the spool; return the site."""
    site.put_event(EVENT, time=time.time() - 400)
    site.put(Directory.TODO, run_of(5))
    site.put(Directory.OPEN, run_of(6, started=int(time.time())))
    site.put(Directory.OPEN, run_of(8, reported=False, reason="opted out"))
    site.put(Directory.DEAD, run_of(9, last_error=REFUSED))
    site.add_dead_letter("odd")
    (site.spool / "tmp" / "draft").touch()
    return site

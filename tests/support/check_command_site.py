"""A site with a working drain, for tests of `cc-spool check`."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from command_line import Said
from command_site import CommandSite


def working_site(tmp_path: Path) -> CommandSite:
    """Return a site with a working drain."""
    made = CommandSite(tmp_path)
    made.write_drain_state(
        started=time.time() - 60,
        updated=time.time(),
        destination={"health": "up", "since": 0.0, "reason": ""},
        server={"version": "1.5.4", "dialect": "shared"},
    )
    made.document["spool"]["min_free_bytes"] = 0
    made.write()
    return made


@contextmanager
def drain_lock(site: CommandSite) -> Iterator[None]:
    """Hold the lock of the drain, as a running drain does."""
    fd = os.open(site.state / "drain.lock", os.O_RDWR | os.O_CREAT, 0o640)
    fcntl.flock(fd, fcntl.LOCK_EX)
    yield
    os.close(fd)


def verdicts(said: Said) -> dict[str, str]:
    """Return the verdict of each check by its name."""
    return {check["name"]: check["verdict"] for check in said.json["checks"]}

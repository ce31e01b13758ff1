"""A site with dead letters, for tests of the commands that retry or discard them."""

from __future__ import annotations

from pathlib import Path

from command_site import NOON, REFUSED, CommandSite, run_of

from spool.files.layout import Directory
from spool.files.run import End, EndSource

END = End(time=NOON + 100, state="COMPLETED", source=EndSource.CONTROLLER)
EVENT = "1-start-7-0-0-77"


def site_with_dead_letters(root: Path) -> CommandSite:
    """Return a site with three dead runs of two jobs, a dead event and an open run."""
    made = CommandSite(root)
    for job_id, start in ((5, NOON + 2), (5, NOON), (6, NOON + 1)):
        made.put(Directory.DEAD, run_of(job_id, start, end=END, last_error=REFUSED))
    made.add_dead_letter(EVENT, b"end\n")
    made.put(Directory.OPEN, run_of(10, started=NOON))
    return made


DEAD = [f"5-{NOON}.json", f"6-{NOON + 1}.json", f"5-{NOON + 2}.json"]

"""Kept runs for tests of `cc-spool replay`, and the importer that reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from command_site import NOON, CommandSite, run_of

from spool.commands.importer import Importer, Throttle
from spool.files.archive import DeliveredArchive
from spool.files.layout import Layout
from spool.files.run import End, EndSource, Run

END = End(time=NOON + 100, state="COMPLETED", source=EndSource.CONTROLLER)
REPORTED = run_of(5, end=END, started=NOON + 1, cluster="lab")
EVENT = "1-start-7-100-0-77"


def archived(site: CommandSite, *runs: Run) -> Path:
    """Put runs into the archive of delivered runs; return its directory."""
    archive = DeliveredArchive(site.state / "delivered", keep_days=3)
    for run in runs:
        archive.add(run, NOON)
    return archive.directory


def counts(said: Any) -> tuple[int, int, int]:
    """Return how many items were done, already known, and refused."""
    return said.json["done"], said.json["known"], len(said.json["refused"])


def importer_of(layout: Layout, **how: Any) -> Importer:
    """Return an importer of kept items with some settings changed."""
    defaults = {"is_drained": lambda: True, "min_free_bytes": 0}
    return Importer(layout, Throttle(layout, **{**defaults, **how}), now=NOON, dry_run=False)

"""What each source of facts gives on a release of Slurm, one line each."""

from __future__ import annotations

from collections.abc import Iterator

from slurm.release import Release
from slurm.sources import EVERYWHERE, sources_of
from spool.checks.result import Result, good

HOOKS_WITH_TIMES = Release(23, 2)


def check_sources(release: Release) -> Iterator[Result]:
    """Yield what is asked of which source."""
    row = sources_of(release)
    times = "job id, start and end" if release >= HOOKS_WITH_TIMES else "job id alone"
    yield good("source of events", f"the hooks: {times}")
    yield good("source of few jobs", row.words(row.few))
    yield good("source of many jobs", row.words(row.many))
    yield good("source of sharing in text", f"column {row.sharing_column}")
    for what, how in EVERYWHERE:
        yield good(f"source of {what}", how)

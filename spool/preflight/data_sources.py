"""Show which source gives which facts on a release of Slurm, one line each."""

from __future__ import annotations

from collections.abc import Iterator

from slurm.release import SAME_IN_EVERY_RELEASE, Release, features_of
from spool.checks.result import CheckResult, passed

HOOKS_WITH_TIMES = Release(23, 2)


def check_sources(release: Release) -> Iterator[CheckResult]:
    """Yield the source of each kind of facts."""
    row = features_of(release)
    times = "job id, start and end" if release >= HOOKS_WITH_TIMES else "only the job id"
    yield passed("source of events", f"the hooks: {times}")
    yield passed("source of few jobs", row.describe(row.few_jobs))
    yield passed("source of many jobs", row.describe(row.many_jobs))
    yield passed("source of sharing in text", f"column {row.sharing_column}")
    for what, how in SAME_IN_EVERY_RELEASE:
        yield passed(f"source of {what}", how)

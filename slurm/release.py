"""Slurm releases, and which command is used for which information in each of them.

The cheapest correct source comes first (milliseconds measured on two cores with 10 000 jobs known;
`squeue(1)`, NEWS, `src/squeue`): `--json` ignores every filter up to 22.05 (1.6 s for one job),
honours a single `-j` from 23.02 (13 ms) and several from 24.05.1. In 21.08 it merges the cores of
all sockets. Text of `squeue` and `scontrol show job ID -d` costs 8 ms each. The newest JSON parser
of 26.05 omits node sharing; the parser before it, which 26.05 still ships, has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """A Slurm release, ordered by its numbers."""

    year: int
    month: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.year:02}.{self.month:02}.{self.patch}"

    @property
    def series(self) -> tuple[int, int]:
        """Return year and month."""
        return self.year, self.month


class QueryMethod(StrEnum):
    """A way to read job records."""

    TEXT = "text"
    JSON_EACH = "squeue's JSON with `-j ID`, one call for each job"
    JSON_IDS = "squeue's JSON with `-j IDS`"
    JSON_ALL = "squeue's JSON of all jobs"


@dataclass(frozen=True, slots=True)
class ReleaseFeatures:
    """The query methods, options and columns for the Slurm releases from `since` on."""

    since: Release
    few_jobs: QueryMethod
    many_jobs: QueryMethod
    json_option: str = "--json"
    sharing_column: str = "OverSubscribe"
    has_sluid: bool = False
    sacct_has_sharing: bool = False

    def describe(self, method: QueryMethod) -> str:
        """Return a query method as text, with its JSON option in this release."""
        if method is QueryMethod.TEXT:
            return "text: `squeue -j IDS`, then `scontrol show job ID -d` for each job"
        return f"{method}, `{self.json_option}`"


_TEXT, _EACH, _IDS, _ALL = QueryMethod
RELEASE_TABLE = (
    ReleaseFeatures(Release(21, 8), _TEXT, _TEXT),
    ReleaseFeatures(Release(22, 5), _TEXT, _ALL),
    ReleaseFeatures(Release(23, 2), _EACH, _ALL),
    ReleaseFeatures(Release(23, 11), _EACH, _ALL, "--json=v0.0.40"),
    ReleaseFeatures(Release(24, 5), _EACH, _ALL, "--json=v0.0.41"),
    ReleaseFeatures(Release(24, 5, 1), _IDS, _IDS, "--json=v0.0.41"),
    ReleaseFeatures(Release(24, 11), _IDS, _IDS, "--json=v0.0.42"),
    ReleaseFeatures(Release(25, 5), _IDS, _IDS, "--json=v0.0.43"),
    ReleaseFeatures(Release(25, 11), _IDS, _IDS, "--json=v0.0.44", has_sluid=True),
    ReleaseFeatures(
        Release(26, 5),
        _IDS,
        _IDS,
        "--json=v0.0.44",
        sharing_column="Exclusive",
        has_sluid=True,
        sacct_has_sharing=True,
    ),
)


def features_of(release: Release) -> ReleaseFeatures:
    """Return the features of a release: the newest table row up to it, else the first row."""
    rows = [row for row in RELEASE_TABLE if row.since <= release]
    return rows[-1] if rows else RELEASE_TABLE[0]


SAME_IN_EVERY_RELEASE = (
    ("all jobs, their states and start times", "text of `squeue -o`"),
    ("ended and earlier runs", "text of `sacct -X -D -P` with start and end time"),
    ("script", "the file in StateSaveLocation, or `scontrol write batch_script`"),
    ("description", "`scontrol show job ID`, or its output if it was already read for this job"),
)
"""The commands that are the same in every release."""

"""Which jobs are not reported to cc-backend: opt-out flags and the site's filters.

Every function returns the reason, so that an excluded run stays visible.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ccbackend.facts import JobFacts


@dataclass(frozen=True, slots=True)
class NameFilter:
    """Names to report. With `allow` only those, never those in `deny`; empty sets do nothing."""

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()

    def allows(self, name: str) -> bool:
        """Return whether a job with this name is to be reported."""
        return name not in self.deny and (not self.allow or name in self.allow)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilters:
    """Which jobs the site excludes. `ignore_hosts` is searched, not anchored."""

    clusters: NameFilter = NameFilter()
    partitions: NameFilter = NameFilter()
    accounts: NameFilter = NameFilter()
    ignore_hosts: re.Pattern[str] | None = None
    opt_out_flag: str = "disable_cc_submission"


def exclusion_reason(job: JobFacts, filters: JobFilters, *, cluster: str) -> str | None:
    """Return why a job is not to be reported; None if it is.

    Args:
        job: facts; filters by partition and account see missing names as "".
        filters: of the site.
        cluster: the cluster's name at cc-backend.
    """
    named = (
        ("cluster", cluster, filters.clusters),
        ("partition", job.partition or "", filters.partitions),
        ("account", job.account or "", filters.accounts),
    )
    for what, name, names in named:
        if not names.allows(name):
            return f"{what} {name} is filtered"
    hosts = filters.ignore_hosts
    if hosts is not None and job.nodes and all(hosts.search(node) for node in job.nodes):
        return "all hosts are ignored"
    if filters.opt_out_flag in admin_comment_flags(job):
        return f"opted out by {filters.opt_out_flag}"
    return None


def admin_comment_flags(job: JobFacts) -> frozenset[str]:
    """Return the parts of the admin comment: split at commas, blanks stripped, compared exactly."""
    parts = (part.strip() for part in (job.admin_comment or "").split(","))
    return frozenset(part for part in parts if part)

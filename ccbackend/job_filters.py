"""Which jobs a site reports: filters by name, hosts that are ignored, and the opt-out flag."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ccbackend.facts import FilterFacts

_BETWEEN_WORDS = re.compile(r"[,\r\n]")


@dataclass(frozen=True, slots=True)
class NameFilter:
    """A filter of names: reports only names in `allow` (empty: all), and never those in `deny`."""

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()

    def allows(self, name: str) -> bool:
        """Return whether a job with this name is to be reported."""
        return name not in self.deny and (not self.allow or name in self.allow)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilters:
    """The filters of a site for jobs; `ignore_hosts` may match any part of a host name."""

    clusters: NameFilter = NameFilter()
    partitions: NameFilter = NameFilter()
    accounts: NameFilter = NameFilter()
    users: NameFilter = NameFilter()
    qos: NameFilter = NameFilter()
    ignore_hosts: re.Pattern[str] | None = None
    opt_out_flag: str = "disable_cc_submission"


def exclusion_reason(job: FilterFacts, filters: JobFilters, *, cluster: str) -> str | None:
    """Return why a job is not to be reported, for the administrator; None if it is reported.

    The filters see a missing name as "", which no list of allowed names holds. `cluster` is the
    name at cc-backend.
    """
    named = (
        ("cluster", cluster, "clusters", filters.clusters),
        ("partition", job.partition or "", "partitions", filters.partitions),
        ("account", job.account or "", "accounts", filters.accounts),
        ("user", job.user or "", "users", filters.users),
        ("qos", job.qos or "", "qos", filters.qos),
    )
    for what, name, key, names in named:
        if not names.allows(name):
            return f"{what} {name or '(none)'} is excluded by filters.{key}"
    hosts = filters.ignore_hosts
    if hosts is not None and job.nodes and all(hosts.search(node) for node in job.nodes):
        return "all hosts match ignoreHosts"
    if filters.opt_out_flag in comment_flags(job):
        return f"opted out by {filters.opt_out_flag}"
    return None


def comment_flags(job: FilterFacts) -> frozenset[str]:
    """Return the words of both comments: split at commas and line breaks, blanks stripped.

    The user's own comment counts as well: it is the only one that a user can set, and an opt-out is
    a promise about privacy.
    """
    texts = (job.admin_comment or "", job.comment or "")
    words = (word.strip() for text in texts for word in _BETWEEN_WORDS.split(text))
    return frozenset(word for word in words if word)

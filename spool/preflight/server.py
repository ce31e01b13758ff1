"""Check cc-backend by requests: its version, and that it accepts token, cluster and jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from ccbackend.outcomes import NATS_FAILURES, Outcome, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, ClusterList, JobList, Probe
from ccbackend.token import Token
from ccbackend.topology import Cluster
from ccbackend.version import FIRST_WITH_CLUSTERS
from spool.checks.result import CheckResult, CheckStatus, finding, passed
from spool.checks.waiting import dialect_text
from spool.formatting import pluralize

MIN_SIMILARITY = 0.5


class ServerQueries(Protocol):
    """The queries to the server; `ccbackend.client.BackendClient` implements them."""

    def probe(self) -> Probe:
        """Detect the server; check that it accepts our token and that its job API is on."""

    def check_job_api(self) -> ApiReply:
        """Find out whether the REST job API is on, without an entry in the server's log."""

    def running_jobs(self, cluster: str) -> JobList:
        """List all running jobs of a cluster."""

    def clusters(self) -> ClusterList:
        """Request the clusters with their nodes and topology."""


def check_server(
    backend: ServerQueries, token: Token | None, names: Sequence[str]
) -> tuple[list[CheckResult], tuple[Cluster, ...] | None]:
    """Return the results and the server's clusters, None if it does not list them.

    `token` is None if it cannot be read; `names` are the clusters that we report.
    """
    probe = backend.probe()
    verdict = probe.reply.verdict
    is_job_api = verdict.reason in NATS_FAILURES | {Reason.API_OFF}
    if verdict.outcome is not Outcome.DELIVERED and not is_job_api:
        text = f"{_server_text(probe)}: {_reply_text(probe.reply)}"
        return [
            finding(CheckStatus.CRITICAL, "server", text, f"{verdict.hint}{_roles_text(token)}")
        ], None
    results = [
        passed("server", _server_text(probe)),
        passed("server token", f"is accepted{_roles_text(token)}"),
        _jobs(backend.check_job_api()),
        _listing(backend.running_jobs(names[0]), names[0]),
    ]
    answer = backend.clusters()
    found, clusters = _clusters(answer, names, probe)
    return [*results, *found], clusters


def check_broker(verdict: ReplyVerdict) -> CheckResult:
    """Check that notifications reach the NATS broker; a missing subscriber is no error."""
    if verdict.reason not in NATS_FAILURES or verdict.reason is Reason.NO_SUBSCRIBER:
        remark = "; no program subscribes to them" if verdict.reason in NATS_FAILURES else ""
        return passed("NATS broker", f"accepts notifications{remark}")
    text = (
        "notifications do not reach the NATS broker (jobs are still delivered by REST):"
        f" {verdict.message or verdict.hint}"
    )
    return finding(CheckStatus.WARNING, "NATS broker", text, verdict.hint)


def check_cluster_names(names: Iterable[str], clusters: Iterable[Cluster]) -> Iterator[CheckResult]:
    """Yield a result for each cluster that we report, with the most similar name if unknown."""
    known = [cluster.name for cluster in clusters]
    for name in names:
        if name in known:
            yield passed("server cluster", f"cc-backend has the cluster {name}")
            continue
        near = _closest_name(name, known)
        has = ", ".join(known) or "no clusters"
        text = f"cc-backend does not have the cluster {name}; it has {has}"
        meant = f"did you mean {near}? " if near else ""
        hint = f"{meant}correct clustername, or add the cluster to cc-backend"
        yield finding(CheckStatus.CRITICAL, "server cluster", text, hint)


def _clusters(
    answer: ClusterList, names: Sequence[str], probe: Probe
) -> tuple[list[CheckResult], tuple[Cluster, ...] | None]:
    version = probe.server.version
    if answer.reply.verdict.reason is Reason.FEATURE_ABSENT:
        text = f"this cc-backend ({version or 'of unknown version'}) cannot list its clusters"
        hint = f"set topology_files, or update cc-backend to {FIRST_WITH_CLUSTERS} or later"
        return [finding(CheckStatus.WARNING, "server cluster", text, hint)], None
    if answer.clusters is not None:
        return [*check_cluster_names(names, answer.clusters)], answer.clusters
    text = f"cc-backend cannot list its clusters: {_reply_text(answer.reply)}"
    return [finding(CheckStatus.UNKNOWN, "server cluster", text, answer.reply.verdict.hint)], None


def _jobs(reply: ApiReply) -> CheckResult:
    """Check that the server accepts jobs in the configured way, by REST or NATS."""
    reason = reply.verdict.reason
    if reason is Reason.NATS_ON:
        return passed("server job API", "accepts jobs by NATS")
    if reason in NATS_FAILURES:
        text = f"cc-backend cannot be reached by NATS: {_reply_text(reply)}"
        return finding(CheckStatus.CRITICAL, "server job API", text, reply.verdict.hint)
    if reason is Reason.JOB_API_ON:
        return passed("server job API", "accepts jobs by REST")
    if reason is Reason.API_OFF:
        hint = (
            "set nats.servers, nats.subject, and nats.mode to transport; or enable"
            " cc-backend's REST API"
        )
        return finding(
            CheckStatus.CRITICAL, "server job API", "is off: cc-backend is in NATS mode", hint
        )
    text = f"it is unknown whether it is enabled: {_reply_text(reply)}"
    return finding(CheckStatus.UNKNOWN, "server job API", text, reply.verdict.hint)


def _listing(listing: JobList, cluster: str) -> CheckResult:
    if listing.rows is None:
        text = f"running jobs cannot be listed: {_reply_text(listing.reply)}"
        hint = f"{listing.reply.verdict.hint}; the sweep needs this list"
        return finding(CheckStatus.WARNING, "server listing", text, hint)
    text = f"cc-backend lists {pluralize(len(listing.rows), 'running job')} of {cluster}"
    return passed("server listing", text)


def _server_text(probe: Probe) -> str:
    version = probe.server.version or "of unknown version"
    return f"cc-backend {version}{dialect_text(probe.server.dialect)}"


def _roles_text(token: Token | None) -> str:
    if token is None or token.roles is None:
        return ""
    return f"; roles of the token: {', '.join(token.roles) or 'none'}"


def _reply_text(reply: ApiReply) -> str:
    status = f"{reply.status}: " if reply.status else ""
    return f"{status}{reply.verdict.message or reply.verdict.hint}"


def _closest_name(name: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - 4 ms, needed only after a mistake

    lowered = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), list(lowered), 1, MIN_SIMILARITY)
    return lowered[found[0]] if found else ""

"""A cc-backend in memory that answers like a real one, or with answers that a test sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ccbackend.outcomes import ApiCall, Outcome, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, BackendRow, ClusterList, JobList, Probe, check_duplicate
from ccbackend.topology import Cluster
from ccbackend.version import ServerInfo, Version, server_info


@dataclass
class FakeBackend:
    """A cc-backend that keeps rows by (job id, start) and rejects what a real one rejects."""

    version: Version = field(default_factory=lambda: Version(1, 4, 4))
    rows: dict[tuple[int, int], str] = field(default_factory=dict)
    documents: list[dict[str, Any]] = field(default_factory=list)
    ends: dict[tuple[int, int], int] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    answers: dict[int, Reason] = field(default_factory=dict)
    everything: Reason | None = None
    probe_answer: Reason | None = None
    topology: tuple[Cluster, ...] | None = ()
    is_cached: bool = False
    promises: int = 0
    maybe_sent: list[bool] = field(default_factory=list)
    states: list[str | None] = field(default_factory=list)

    @property
    def server(self) -> ServerInfo:
        """Return what is known of a server of this version."""
        return server_info(self.version)

    def start(self, document: dict[str, Any], *, maybe_sent: bool = False) -> ApiReply:
        """Answer a start."""
        self.maybe_sent.append(maybe_sent)
        return self.answer(ApiCall.START, document, self._start)

    def stop(self, document: dict[str, Any], *, state: str | None = None) -> ApiReply:
        """Answer a stop."""
        self.states.append(state)
        return self.answer(ApiCall.STOP, document, self._stop)

    def delete(self, document: dict[str, Any]) -> ApiReply:
        """Answer a delete."""
        return self.answer(ApiCall.DELETE, document, self._delete)

    def edit_meta(self, document: dict[str, Any]) -> ApiReply:
        """Answer a change of metaData."""
        return self.answer(ApiCall.EDIT_META, document, lambda _key, _document: Reason.EDITED)

    def probe(self) -> Probe:
        """Answer the probe, a request that changes nothing."""
        self.asked.append(("probe", 0))
        reason = self.everything or self.probe_answer or Reason.LISTED
        reply = ApiReply(call=ApiCall.LISTING, verdict=ReplyVerdict(reason, _text(reason)))
        is_known = reply.outcome is Outcome.DELIVERED
        return Probe(self.server if is_known else ServerInfo(), reply)

    def clusters(self) -> ClusterList:
        """Answer with the topology; None: reading it fails."""
        reason = self.everything or (Reason.LISTED if self.topology is not None else Reason.PANIC)
        clusters = None if self.everything else self.topology
        reply = ApiReply(call=ApiCall.CLUSTERS, verdict=ReplyVerdict(reason))
        return ClusterList(reply, clusters)

    def list_runs(self, job_ids: Iterable[int], cluster: str) -> JobList:
        """Answer with the rows of some job ids."""
        self.asked.append(("list", 0))
        reason = self.everything or Reason.LISTED
        wanted = set(job_ids)
        rows = tuple(
            BackendRow(job_id, cluster, start, state, 0)
            for (job_id, start), state in self.rows.items()
            if job_id in wanted and not self.is_cached
        )
        return JobList(ApiReply(call=ApiCall.GRAPHQL, verdict=ReplyVerdict(reason)), rows)

    def answer(
        self,
        call: ApiCall,
        document: dict[str, Any],
        change: Callable[[tuple[int, int], Mapping[str, Any]], Reason],
    ) -> ApiReply:
        """Answer a request for a run."""
        job_id = document["jobId"]
        self.asked.append((str(call), job_id))
        reason = self.everything or self.answers.get(job_id)
        if reason is not None:
            verdict = ReplyVerdict(reason, _text(reason))
        else:
            self.documents.append(dict(document))
            verdict = ReplyVerdict(change((job_id, document["startTime"]), document))
        rows = tuple(
            BackendRow(each, "alex", start, state, 0)
            for (each, start), state in self.rows.items()
            if each == job_id
        )
        is_settled = verdict.outcome is Outcome.CONFLICT
        if is_settled:
            starts = [row.start_time for row in rows]
            verdict = check_duplicate(verdict, starts, document["startTime"])
        return ApiReply(
            call=call, verdict=verdict, document=document, rows=rows if is_settled else None
        )

    def _start(self, key: tuple[int, int], _document: Mapping[str, Any]) -> Reason:
        near = [start for job_id, start in self.rows if job_id == key[0]]
        if any(abs(start - key[1]) < 24 * 3600 for start in near):
            return Reason.DUPLICATE
        if self.promises > 0:
            self.promises -= 1
            return Reason.QUEUED
        self.rows[key] = "running"
        return Reason.CREATED

    def _stop(self, key: tuple[int, int], document: Mapping[str, Any]) -> Reason:
        if key not in self.rows:
            return Reason.UNKNOWN_RUN
        if self.rows[key] != "running":
            return Reason.STOPPED_BEFORE
        self.rows[key] = document["jobState"]
        self.ends[key] = document["stopTime"]
        return Reason.STOPPED

    def _delete(self, key: tuple[int, int], _document: Mapping[str, Any]) -> Reason:
        # recorded: from 1.5 on the answer is the same for a row that is in the job cache
        if not self.is_cached and self.rows.pop(key, ""):
            return Reason.DELETED
        return Reason.AFTER_FLUSH if self.server.caches_starts else Reason.NOTHING_TO_DELETE


def _text(reason: Reason) -> str:
    return f"made up: {reason.name}"

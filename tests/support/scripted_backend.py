"""A backend that gives scripted answers, and one request sent to it by a worker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ccbackend.outcomes import ApiCall, Reason, ReplyVerdict
from ccbackend.replies import ApiReply, BackendRow, ClusterList, JobList, Probe
from ccbackend.topology import Cluster
from ccbackend.version import ServerInfo, Version, server_info
from spool.deliver.pending_run import RequestKind
from spool.deliver.senders import SendRequest

SERVER = server_info(Version(1, 5, 4))
CLUSTER = Cluster("alex", ())
ROW = BackendRow(7, "alex", 100, "running", 1)


class Scripted:
    """A backend that gives scripted answers, and then accepts every request."""

    def __init__(self, *reasons: Reason | Exception, wish: float | None = None) -> None:
        self.reasons = list(reasons)
        self.wish = wish
        self.known = SERVER
        self.bodies: list[dict[str, Any]] = []
        self.maybe_sent: list[bool] = []
        self.states: list[str | None] = []
        self.rows: tuple[BackendRow, ...] | None = (ROW,)

    @property
    def server(self) -> ServerInfo:
        """Return what is known of the server."""
        return self.known

    def _answer(self, call: ApiCall, document: dict[str, Any]) -> ApiReply:
        self.bodies.append(document)
        reason = self.reasons.pop(0) if self.reasons else Reason.CREATED
        if isinstance(reason, Exception):
            raise reason
        rows = (ROW,) if reason is Reason.DUPLICATE else None
        return ApiReply(
            call=call,
            verdict=ReplyVerdict(reason),
            document=document,
            rows=rows,
            retry_after_seconds=self.wish,
        )

    def start(self, document: dict[str, Any], *, maybe_sent: bool = False) -> ApiReply:
        """Answer a start."""
        self.maybe_sent.append(maybe_sent)
        return self._answer(ApiCall.START, document)

    def stop(self, document: dict[str, Any], *, state: str | None = None) -> ApiReply:
        """Answer a stop."""
        self.states.append(state)
        return self._answer(ApiCall.STOP, document)

    def delete(self, document: dict[str, Any]) -> ApiReply:
        """Answer a delete."""
        return self._answer(ApiCall.DELETE, document)

    def edit_meta(self, document: dict[str, Any]) -> ApiReply:
        """Answer a change of metaData."""
        return self._answer(ApiCall.EDIT_META, document)

    def list_runs(self, job_ids: Iterable[int], cluster: str) -> JobList:
        """Answer a listing."""
        answer = self._answer(ApiCall.GRAPHQL, {"cluster": cluster, "jobs": list(job_ids)})
        return JobList(answer, self.rows)

    def clusters(self) -> ClusterList:
        """Answer a request for the clusters."""
        return ClusterList(self._answer(ApiCall.CLUSTERS, {}), (CLUSTER,))

    def probe(self) -> Probe:
        """Answer a probe."""
        return Probe(self.known, self._answer(ApiCall.LISTING, {}))


def request(kind: RequestKind, **more: Any) -> SendRequest:
    """Return a request for job 7."""
    return SendRequest(kind=kind, job_id=7, start_time=100, cluster="alex", **more)

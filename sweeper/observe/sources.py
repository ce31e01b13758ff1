"""The sources that a sweep queries, and the finding (text and cause) for a failed query."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from ccbackend.lookups import RunLookup
from ccbackend.outcomes import Outcome, Reason
from ccbackend.replies import ApiReply, JobList
from slurm.decode.job_rows import QueueSnapshot
from slurm.decode.scontrol_config import SlurmSettings
from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from slurm.light_dataclass import light_dataclass
from spool.escaping import escape
from spool.files.layout import Layout
from spool.files.run_id import RunId
from sweeper.values import FailureCause, GuardFinding, GuardKind


class SweepSlurm(Protocol):
    """The queries of a sweep to Slurm; `slurm.client.Slurm` implements them."""

    @property
    def cluster(self) -> str:
        """Return Slurm's own name of the cluster."""

    def config(self) -> SlurmSettings:
        """Return the configuration as the controller sees it."""

    def ping(self) -> tuple[tuple[str, str, bool], ...]:
        """Return role, host and whether it is up, for each controller."""

    def queue_snapshot(self) -> QueueSnapshot:
        """Return the controller's job list, with a few fields of each job."""

    def jobs(self, ids: Iterable[int]) -> Mapping[int, Job | SlurmError]:
        """Return the controller's records of some jobs."""

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run of some jobs in a window."""

    def ended(self, *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run that ended in a window."""


class SweepBackend(RunLookup, Protocol):
    """The queries of a sweep to cc-backend; `ccbackend.client.BackendClient` implements them."""

    def running_jobs(self, cluster: str) -> JobList:
        """List all running jobs of a cluster."""


@light_dataclass
class SweepSources:
    """The sources of a sweep, and functions that it calls.

    `clusters` are the names at cc-backend. `sees_all_jobs` judges by the configuration whether
    Slurm hides jobs from us, `was_reconfigured` whether slurmctld's start at a time was a mere
    reconfiguration. `find_delivered` returns which runs cc-backend has accepted. `on_step` gets the
    name of what is asked next, `on_queue` Slurm's list of jobs.
    """

    slurm: SweepSlurm
    backend: SweepBackend
    clusters: tuple[str, ...]
    layout: Layout
    sees_all_jobs: Callable[[SlurmSettings], bool]
    find_delivered: Callable[[Iterable[RunId]], frozenset[RunId]]
    clock: Callable[[], float]
    was_reconfigured: Callable[[int], bool] = lambda _boot_time: False
    on_step: Callable[[str], None] = lambda _what: None
    on_queue: Callable[[QueueSnapshot], None] = lambda _queue: None


_UNAVAILABLE = frozenset(
    {Reason.UNREACHABLE, Reason.BUSY, Reason.DATABASE, Reason.TIMED_OUT, Reason.API_OFF}
)
_MISCONFIGURED = frozenset(
    {
        *(Reason.REDIRECTED, Reason.WRONG_URL, Reason.UNKNOWN_CLUSTER),
        *(Reason.CERTIFICATE, Reason.NO_TLS, Reason.TLS_REFUSED, Reason.CA_FILE),
    }
)
_MAX_CHARACTERS = 500
_SOURCES = {"slurm": "slurmctld", "accounting": "accounting (sacct)"}


def slurm_failure(what: str, error: SlurmError) -> GuardFinding:
    """Return the finding for an answer of Slurm that is missing or incomplete.

    `what` was asked: `slurm` (the controller) or `accounting`.
    """
    is_gone = (
        error.reason in {FailureReason.UNREACHABLE, FailureReason.NOT_STARTED} and what == "slurm"
    )
    hint = f"; {error.hint}" if error.hint else ""
    text = f"no complete answer from {_SOURCES[what]} ({error.reason}): {error}{hint}"
    return GuardFinding(
        name=what,
        kind=GuardKind.ANSWER,
        text=escape(f"no stops are reported: {text}", _MAX_CHARACTERS),
        cause=FailureCause.UNAVAILABLE if is_gone else FailureCause.REFUSED,
    )


def backend_failure(reply: ApiReply) -> GuardFinding:
    """Return the finding for a job list of cc-backend that is not complete."""
    verdict = reply.verdict
    message = f": {verdict.message}" if verdict.message else ""
    status = f"status {reply.status}" if reply.status else "no answer"
    reason = verdict.reason.name.lower()
    text = f"could not get a complete job list from cc-backend ({reason}, {status}){message}"
    return GuardFinding(
        name="listing",
        kind=GuardKind.ANSWER,
        text=escape(f"nothing is reported: {text}; {verdict.hint}", _MAX_CHARACTERS),
        cause=_cause(verdict.reason),
    )


def _cause(reason: Reason) -> FailureCause:
    if reason in _UNAVAILABLE:
        return FailureCause.UNAVAILABLE
    if reason in _MISCONFIGURED:
        return FailureCause.MISCONFIGURED
    is_denied = reason.outcome is Outcome.HALT
    return FailureCause.NO_PERMISSION if is_denied else FailureCause.REFUSED

"""From a question without a complete answer to a finding with its words and cause."""

from __future__ import annotations

from ccbackend.classify import Outcome, Reason
from ccbackend.replies import ApiReply
from slurm.errors import FailureReason, SlurmError
from spool.escaping import escape
from sweeper.values import FailureCause, GuardFinding, GuardKind

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
    """Return the finding for an answer of Slurm that is not believed.

    Args:
        what: was asked: `slurm` (the controller) or `accounting`.
        error: of the client.
    """
    is_gone = (
        error.reason in {FailureReason.UNREACHABLE, FailureReason.NOT_STARTED} and what == "slurm"
    )
    hint = f"; {error.hint}" if error.hint else ""
    text = f"no complete answer from {_SOURCES[what]} ({error.reason}): {error}{hint}; no stops"
    return GuardFinding(
        name=what,
        kind=GuardKind.ANSWER,
        text=escape(text, _MAX_CHARACTERS),
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
        text=escape(f"{text}; {verdict.hint}; nothing is planned", _MAX_CHARACTERS),
        cause=_cause(verdict.reason),
    )


def _cause(reason: Reason) -> FailureCause:
    if reason in _UNAVAILABLE:
        return FailureCause.UNAVAILABLE
    if reason in _MISCONFIGURED:
        return FailureCause.MISCONFIGURED
    is_denied = reason.outcome is Outcome.HALT
    return FailureCause.NO_PERMISSION if is_denied else FailureCause.REFUSED

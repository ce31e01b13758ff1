"""From a question without a whole answer to a guard with its words and exit code."""

from __future__ import annotations

from ccbackend.classify import Outcome, Reason
from ccbackend.replies import ApiReply
from slurm.errors import FailureReason, SlurmError
from spool.escaping import escape
from spool.exit_codes import CONFIG, NO_PERMISSION, REFUSED, UNAVAILABLE
from sweeper.values import GuardFinding, GuardKind

_UNAVAILABLE = frozenset(
    {Reason.UNREACHABLE, Reason.BUSY, Reason.DATABASE, Reason.TIMED_OUT, Reason.API_OFF}
)
_MISCONFIGURED = frozenset(
    {
        *(Reason.REDIRECTED, Reason.WRONG_URL, Reason.UNKNOWN_CLUSTER),
        *(Reason.CERTIFICATE, Reason.NO_TLS, Reason.TLS_REFUSED, Reason.CA_FILE),
    }
)


def slurm_failure(what: str, error: SlurmError) -> GuardFinding:
    """Return the guard for an answer of Slurm that is not believed.

    Args:
        what: was asked: `slurm` (the controller) or `accounting`.
        error: of the client.
    """
    gone = (
        error.reason in {FailureReason.UNREACHABLE, FailureReason.NOT_STARTED} and what == "slurm"
    )
    hint = f"; {error.hint}" if error.hint else ""
    return GuardFinding(
        name=what,
        kind=GuardKind.ANSWER,
        text=escape(f"{what} gave no whole answer ({error.reason}): {error}{hint}; no stops", 500),
        exit_code=UNAVAILABLE if gone else REFUSED,
    )


def backend_failure(reply: ApiReply) -> GuardFinding:
    """Return the guard for a listing of cc-backend that is not whole."""
    verdict = reply.verdict
    said = f": {verdict.message}" if verdict.message else ""
    status = f"status {reply.status}" if reply.status else "no answer"
    text = f"cc-backend gave no whole listing ({verdict.reason.name.lower()}, {status}){said}"
    return GuardFinding(
        name="listing",
        kind=GuardKind.ANSWER,
        text=escape(f"{text}; {verdict.hint}; nothing is planned", 500),
        exit_code=_exit_code(verdict.reason),
    )


def _exit_code(reason: Reason) -> int:
    if reason in _UNAVAILABLE:
        return UNAVAILABLE
    if reason in _MISCONFIGURED:
        return CONFIG
    return NO_PERMISSION if reason.outcome is Outcome.HALT else REFUSED

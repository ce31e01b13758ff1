"""Does our account see every job and every script? Slurm does not refuse, it shows less.

Told from the rights that Slurm's configuration gives us, and from what is seen: nodes whose CPUs
are held by no job that we see prove hidden ones, whatever the configuration says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from slurm.decode.fields.hostlist import HostlistError, expand_hosts
from slurm.decode.job_rows import SqueueRow
from slurm.decode.scontrol_nodes import Node
from slurm.rights import Rights
from spool.checks.result import CheckResult, CheckStatus, finding, passed

MAX_SHOWN_NODES = 3
_SEE_ALL = (
    "make the account an Operator (`sacctmgr add user USER account=ACCOUNT adminlevel=Operator`,"
    " same uid on slurmdbd's host), or run the drain as SlurmUser"
)
_SCRIPTS = f"{_SEE_ALL}, or set metadata.job_script to false"


def check_job_visibility(
    rights: Rights, nodes: Sequence[Node], jobs: Sequence[SqueueRow]
) -> CheckResult:
    """Return whether squeue shows us other users' jobs.

    Args:
        rights: of our account.
        nodes: asked before the jobs, so that a job that ends meanwhile is still listed.
        jobs: all that the controller shows us, ended ones too.
    """
    name = "jobs seen"
    if not rights.sees_jobs:
        text = f"PrivateData hides other users' jobs from {rights.user}: they are not reported"
        return finding(CheckStatus.CRITICAL, name, text, _SEE_ALL)
    hidden = sorted({node.name for node in nodes if node.allocated_cpus} - set(_hosts(jobs)))
    if hidden:
        shown = ", ".join(hidden[:MAX_SHOWN_NODES])
        text = f"{rights.user} sees no job on {shown} ({len(hidden)} nodes), whose CPUs are held"
        return finding(CheckStatus.CRITICAL, name, text, _SEE_ALL)
    others = sum(job.user != rights.user for job in jobs)
    return passed(
        name, f"squeue shows {len(jobs)} jobs, {others} of other users; {_access_reason(rights)}"
    )


def check_accounting_visibility(
    rights: Rights, other_job: SqueueRow | None, *, is_shown: bool = True
) -> CheckResult:
    """Return whether sacct shows us other users' jobs.

    Args:
        rights: of our account.
        other_job: a job of another user that runs, None where there is none.
        is_shown: accounting has this job for us.
    """
    name = "accounting seen"
    if not rights.sees_accounting:
        text = f"slurmdbd's PrivateData hides other users' jobs from {rights.user}"
        return finding(CheckStatus.CRITICAL, name, text, _SEE_ALL)
    if other_job is None:
        return passed(name, _access_reason(rights))
    job = f"job {other_job.job_id} of {other_job.user}"
    if not is_shown:
        text = f"sacct does not show us {job}, which squeue does"
        return finding(
            CheckStatus.WARNING, name, text, f"it may be late; if it stays so: {_SEE_ALL}"
        )
    return passed(name, f"sacct shows {job}; {_access_reason(rights)}")


def check_script_access(
    rights: Rights,
    *,
    wanted: bool,
    state_save: Path | None,
    can_open: bool = False,
    denied: bool | None = None,
) -> Iterator[CheckResult]:
    """Yield whether we may read what `metadata.job_script` promises, and what that means.

    Args:
        rights: of our account.
        wanted: scripts are to be sent.
        state_save: StateSaveLocation, None where it is not known.
        can_open: we may read the scripts in it.
        denied: scontrol refused another user's script; None: there was none to ask for.
    """
    if not wanted:
        yield passed("scripts", "are not sent (metadata.job_script is false)")
        return
    by_command = rights.is_privileged if denied is None else not denied
    if not can_open and not by_command:
        text = f"{rights.user} may not read batch scripts, neither by scontrol nor in {state_save}"
        yield finding(CheckStatus.WARNING, "scripts", text, _SCRIPTS)
        return
    way = f"from {state_save}" if can_open else f"by scontrol ({state_save} is closed to us)"
    yield passed(
        "scripts",
        f"are read {way} and sent; they can hold secrets: metadata.job_script false sends none,"
        " metadata.secret_patterns masks",
    )


def other_users_job(rights: Rights, jobs: Iterable[SqueueRow]) -> SqueueRow | None:
    """Return the job of another user that runs for longest."""
    running = [job for job in jobs if job.state == "RUNNING" and job.user != rights.user]
    return min(running, key=lambda job: job.start_time or 0, default=None)


def _hosts(jobs: Iterable[SqueueRow]) -> Iterator[str]:
    for text in {job.nodes for job in jobs}:
        try:
            yield from expand_hosts(text)
        except HostlistError:
            continue


def _access_reason(rights: Rights) -> str:
    if not rights.is_privileged:
        return "nothing is private"
    if rights.uid == 0:
        return "as root"
    if rights.user == rights.slurm_user:
        return f"as SlurmUser {rights.user}"
    return f"{rights.user} is {rights.admin_level}"

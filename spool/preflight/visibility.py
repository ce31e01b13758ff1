"""Check that our account sees every job and script: Slurm hides them without an error.

Concluded from the rights in Slurm's configuration and from the listed jobs: a node with allocated
CPUs and without a visible job proves that jobs are hidden, whatever the configuration says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from slurm.cluster_survey import Rights
from slurm.decode.fields.hostlist import readable_hosts
from slurm.decode.job_rows import SqueueRow
from slurm.decode.scontrol_nodes import Node
from spool.checks.result import CheckResult, CheckStatus, finding, passed
from spool.formatting import pluralize

MAX_SHOWN_NODES = 3
_SEE_ALL = (
    "give the service user AdminLevel Operator (`sacctmgr modify user USER set"
    " adminlevel=Operator`; if accounting does not have the user: `sacctmgr add user USER"
    " account=ACCOUNT adminlevel=Operator`; same uid on slurmdbd's host), or run the drain as"
    " SlurmUser"
)
_SCRIPTS = f"{_SEE_ALL}, or set metadata.job_script to false"


def check_job_visibility(
    rights: Rights, nodes: Sequence[Node], jobs: Sequence[SqueueRow]
) -> CheckResult:
    """Check that squeue shows us other users' jobs.

    The `nodes` are read before the `jobs` (all that the controller shows us, ended ones too), so
    that a job that ends meanwhile is still listed.
    """
    name = "jobs seen"
    if not rights.sees_jobs:
        text = f"PrivateData hides other users' jobs from {rights.user}: they are not reported"
        return finding(CheckStatus.CRITICAL, name, text, _SEE_ALL)
    visible = {host for text in {job.nodes for job in jobs} for host in readable_hosts(text)}
    hidden = sorted({node.name for node in nodes if node.allocated_cpus} - visible)
    if hidden:
        shown = ", ".join(hidden[:MAX_SHOWN_NODES])
        text = f"{len(hidden)} nodes have allocated CPUs, but {rights.user} sees no job on {shown}"
        return finding(CheckStatus.CRITICAL, name, text, _SEE_ALL)
    others = sum(job.user != rights.user for job in jobs)
    seen = f"squeue shows {pluralize(len(jobs), 'job')}, {others} of other users"
    return passed(name, f"{seen} ({_access_reason(rights)})")


def check_accounting_visibility(
    rights: Rights, other_job: SqueueRow | None, *, is_shown: bool = True
) -> CheckResult:
    """Check that sacct shows us other users' jobs.

    `other_job` is a running job of another user, None if there is none; `is_shown`: accounting
    shows us this job.
    """
    name = "accounting seen"
    if not rights.sees_accounting:
        text = f"slurmdbd's PrivateData hides other users' jobs from {rights.user}"
        return finding(CheckStatus.CRITICAL, name, text, _SEE_ALL)
    if other_job is None:
        return passed(name, f"may see the jobs of all users ({_access_reason(rights)})")
    job = f"job {other_job.job_id} of {other_job.user}"
    if not is_shown:
        text = f"sacct does not show {job}, but squeue does"
        return finding(
            CheckStatus.WARNING,
            name,
            text,
            f"accounting may be late, so repeat the check later; if it still fails, {_SEE_ALL}",
        )
    return passed(name, f"sacct shows {job} ({_access_reason(rights)})")


def check_script_access(
    rights: Rights,
    *,
    wanted: bool,
    state_save: Path | None,
    can_open: bool = False,
    denied: bool | None = None,
) -> Iterator[CheckResult]:
    """Check that job scripts can be read if they are to be sent; remind that they are sent.

    `wanted`: `metadata.job_script` is on. `state_save` is StateSaveLocation, None if not known,
    `can_open` whether we may read the scripts in it. `denied`: scontrol refused another user's
    script; None: there was no job to test.
    """
    if not wanted:
        yield passed("scripts", "are not sent (metadata.job_script is false)")
        return
    by_command = rights.is_privileged if denied is None else not denied
    if not can_open and not by_command:
        text = f"{rights.user} may not read batch scripts, neither by scontrol nor in {state_save}"
        yield finding(CheckStatus.WARNING, "scripts", text, _SCRIPTS)
        return
    way = (
        f"job scripts are read from {state_save} and sent"
        if can_open
        else f"job scripts are sent; scontrol reads them, because {state_save} is unreadable"
    )
    advice = (
        "they can contain secrets: to mask these, set metadata.secret_patterns; to send no"
        " scripts, set metadata.job_script to false"
    )
    yield passed("scripts", f"{way}; {advice}")


def other_users_job(rights: Rights, jobs: Iterable[SqueueRow]) -> SqueueRow | None:
    """Return the running job of another user that started first; None if there is none."""
    running = [job for job in jobs if job.state == "RUNNING" and job.user != rights.user]
    return min(running, key=lambda job: job.start_time or 0, default=None)


def _access_reason(rights: Rights) -> str:
    if not rights.is_privileged:
        return "PrivateData hides no jobs"
    if rights.uid == 0:
        return "as root"
    if rights.user == rights.slurm_user:
        return f"as SlurmUser {rights.user}"
    return f"{rights.user} is {rights.admin_level}"

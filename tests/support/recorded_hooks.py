"""The environment that slurmctld gives its hooks, as a `Job`, to compare with other sources.

The program uses only user, nodes and sharing (`slurm.decode.hook_facts`). The restart count is not
used: in the epilog of a requeued run it is already that of the next run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from slurm.decode.fields.scalars import digits, text
from slurm.decode.hook_facts import parse_hook_facts
from slurm.job import Job

_CPUS = re.compile(r"([0-9]{1,9})(?:\(x([0-9]{1,9})\))?")


def hook_job(
    variables: Mapping[str, str], job_id: int, *, start: int | None, end: int | None
) -> Job:
    """Return the run that a hook saw, from the variables that the hook wrote to its event."""
    facts = parse_hook_facts(variables)
    array, het = digits(variables.get("array_job_id", "")), digits(variables.get("het_job_id", ""))
    return Job(
        job_id=job_id,
        start_time=start,
        end_time=end,
        cluster=text(variables.get("cluster")),
        user=facts.user,
        account=text(variables.get("account")),
        partition=text(variables.get("partition")),
        nodes=facts.nodes,
        cpus=_cpus(variables.get("cpus_per_node", "")),
        sharing=facts.sharing,
        array_job_id=array,
        array_task_id=digits(variables.get("array_task_id", "")) if array else None,
        het_job_id=het,
        het_job_offset=digits(variables.get("het_job_offset", "")) if het else None,
        sluid=text(variables.get("sluid")),
        exit_code=text(variables.get("exit_code")),
    )


def _cpus(value: str) -> int | None:
    """Return the sum of `6,2` or `4(x3),2`: the CPUs of each node, with equal nodes grouped."""
    found = [_CPUS.fullmatch(part) for part in value.split(",")]
    if None in found:
        return None
    return sum(int(part[1]) * int(part[2] or 1) for part in found if part)

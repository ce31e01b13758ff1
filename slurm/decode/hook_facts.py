"""What slurmctld tells its hooks about a run, as the hook writes it down: name to value.

The names are ours (`hooks/spool_event`), the values Slurm's (`job_common_env_vars`,
`src/slurmctld/job_mgr.c`, 21.08 ... 26.05): node list and CPUs of the whole run also in the epilog,
where the controller's record lists a rest of them; sharing from 23.02; never cores, GPUs or states.
A restart count is not taken: in the epilog of a requeued run it is the next run's already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from slurm.decode.fields.hostlist import MAX_HOSTS, HostlistError, expand_hosts
from slurm.decode.fields.scalars import digits, text
from slurm.decode.fields.sharing import sharing_from_text
from slurm.job import Job, Sharing

_CPUS = re.compile(r"([0-9]{1,9})(?:\(x([0-9]{1,9})\))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFacts:
    """The facts of one run that a hook saw; None or () where it saw none."""

    cluster: str | None = None
    user: str | None = None
    account: str | None = None
    partition: str | None = None
    nodes: tuple[str, ...] = ()
    cpus: int | None = None
    sharing: Sharing | None = None
    array_job_id: int | None = None
    array_task_id: int | None = None
    het_job_id: int | None = None
    het_job_offset: int | None = None
    sluid: str | None = None
    exit_code: str | None = None

    def job(self, job_id: int, *, start: int | None = None, end: int | None = None) -> Job:
        """Return the run as far as the hook saw it."""
        facts = {name: getattr(self, name) for name in self.__slots__}
        return Job(job_id=job_id, start_time=start, end_time=end, **facts)


def parse_hook_facts(variables: Mapping[str, str]) -> HookFacts:
    """Return the facts in a hook's words; what cannot be read is missing."""
    array, het = digits(variables.get("array_job_id", "")), digits(variables.get("het_job_id", ""))
    return HookFacts(
        cluster=text(variables.get("cluster")),
        user=text(variables.get("user")),
        account=text(variables.get("account")),
        partition=text(variables.get("partition")),
        nodes=_nodes(variables.get("nodes", "")),
        cpus=_cpus(variables.get("cpus_per_node", "")),
        sharing=sharing_from_text(
            exclusive=variables.get("exclusive"), oversubscribe=variables.get("oversubscribe")
        ),
        array_job_id=array,
        array_task_id=digits(variables.get("array_task_id", "")) if array else None,
        het_job_id=het,
        het_job_offset=digits(variables.get("het_job_offset", "")) if het else None,
        sluid=text(variables.get("sluid")),
        exit_code=text(variables.get("exit_code")),
    )


def _nodes(expression: str) -> tuple[str, ...]:
    try:
        return expand_hosts(expression)
    except HostlistError:
        return ()


def _cpus(value: str) -> int | None:
    """Return the sum of `6,2` or `4(x3),2`: CPUs of each node, runs of equal ones together."""
    total = 0
    for part in value.split(","):
        found = _CPUS.fullmatch(part)
        if found is None or int(found[2] or 1) > MAX_HOSTS:
            return None
        total += int(found[1]) * int(found[2] or 1)
    return total

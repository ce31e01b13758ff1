"""The facts about a run that slurmctld gives to its hooks in environment variables.

The names are ours (`hooks/spool_event`), the values Slurm's (`job_common_env_vars`,
`src/slurmctld/job_mgr.c`, 21.08 ... 26.05). In the epilog the node list is still complete, while
the controller's record lists only the remaining nodes; node sharing is there from 23.02 on.
"""

from __future__ import annotations

from collections.abc import Mapping

from slurm.decode.fields.hostlist import readable_hosts
from slurm.decode.fields.scalars import digits, text
from slurm.decode.fields.sharing import sharing_from_text
from slurm.decode.fields.user_names import user_and_uid
from slurm.job import Sharing
from slurm.light_dataclass import light_dataclass


@light_dataclass
class HookFacts:
    """The facts of one run that a hook received; None or () where it received none."""

    user: str | None = None
    account: str | None = None
    partition: str | None = None
    array_job_id: int | None = None
    array_task_id: int | None = None
    nodes: tuple[str, ...] = ()
    sharing: Sharing | None = None


def parse_hook_facts(variables: Mapping[str, str]) -> HookFacts:
    """Return the facts from a hook's variables, without those that cannot be read."""
    user, _ = user_and_uid(variables.get("user"), None)
    array = digits(variables.get("array_job_id", ""))
    return HookFacts(
        user=user,
        account=text(variables.get("account")),
        partition=text(variables.get("partition")),
        array_job_id=array,
        array_task_id=digits(variables.get("array_task_id", "")) if array else None,
        nodes=readable_hosts(variables.get("nodes", "")),
        sharing=sharing_from_text(
            exclusive=variables.get("exclusive"), oversubscribe=variables.get("oversubscribe")
        ),
    )

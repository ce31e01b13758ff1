"""The rights of an account: without them Slurm does not refuse a listing but shortens it.

`PrivateData=jobs` of slurm.conf hides other users' jobs in squeue and scontrol, that of
slurmdbd.conf in sacct; root, SlurmUser and an AdminLevel from Operator on see all. Batch scripts
are shown only to these and to their owner (slurm.conf(5), slurmdbd.conf(5), sacctmgr(1)).
"""

from __future__ import annotations

from dataclasses import dataclass

_PRIVILEGED_LEVELS = frozenset({"Operator", "Administrator", "Admin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """The rights of one account to see jobs.

    `admin_level` is None if accounting has no record of the account; `hidden_accounting` is None
    where it could not be asked. Both `hidden` sets are values of `PrivateData`.
    """

    user: str
    uid: int
    slurm_user: str
    admin_level: str | None
    hidden: frozenset[str]
    hidden_accounting: frozenset[str] | None

    @property
    def is_privileged(self) -> bool:
        """Return whether Slurm hides nothing from the account."""
        return (
            self.uid == 0
            or self.user == self.slurm_user
            or (self.admin_level or "") in _PRIVILEGED_LEVELS
        )

    @property
    def sees_jobs(self) -> bool:
        """Return whether squeue shows other users' jobs."""
        return self.is_privileged or "jobs" not in self.hidden

    @property
    def sees_accounting(self) -> bool:
        """Return whether sacct shows other users' jobs, as far as is known."""
        return self.is_privileged or "jobs" not in (self.hidden_accounting or ())

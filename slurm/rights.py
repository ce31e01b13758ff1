"""Who may see what: a listing without the right is not refused, it is only shorter.

`PrivateData=jobs` of slurm.conf hides other users' jobs in squeue and scontrol, that of
slurmdbd.conf in sacct; root, SlurmUser and an AdminLevel from Operator on see all. Batch scripts
are shown to their owner and to those alone (slurm.conf(5), slurmdbd.conf(5), sacctmgr(1)).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PRIVILEGED_LEVELS = frozenset({"Operator", "Administrator", "Admin"})
_USER = re.compile(r"(.+)\(([0-9]+)\)")
_DBD = "SlurmDBD configuration:"
_PRIVATE = re.compile(r"^PrivateData\s*= ?(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What an account may see.

    `admin_level` is None where accounting does not know the account; `hidden_accounting` is None
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
        """Tell whether Slurm hides nothing from the account."""
        return (
            self.uid == 0
            or self.user == self.slurm_user
            or (self.admin_level or "") in _PRIVILEGED_LEVELS
        )

    @property
    def sees_jobs(self) -> bool:
        """Tell whether squeue shows other users' jobs."""
        return self.is_privileged or "jobs" not in self.hidden

    @property
    def sees_accounting(self) -> bool:
        """Tell whether sacct shows other users' jobs, as far as is known."""
        return self.is_privileged or "jobs" not in (self.hidden_accounting or ())


def slurm_user_of(config: Mapping[str, Sequence[str]]) -> str:
    """Return SlurmUser's name from `scontrol show config` (`slurm(64030)`)."""
    text = next(iter(config.get("SlurmUser", ())), "root")
    found = _USER.fullmatch(text)
    return found[1] if found else text


def private_data_of(config: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Return the values of `PrivateData` in `scontrol show config`."""
    return _words(next(iter(config.get("PrivateData", ())), ""))


def parse_private_accounting(stdout: bytes) -> frozenset[str] | None:
    """Return `PrivateData` of slurmdbd.conf from `sacctmgr show configuration`; None: not told."""
    _, _, text = stdout.decode("utf-8", "replace").partition(_DBD)
    found = _PRIVATE.search(text)
    return None if found is None else _words(found[1])


def parse_admin_level(stdout: bytes, user: str) -> str | None:
    """Return AdminLevel from `sacctmgr -n -P show user format=User,AdminLevel`; None: unknown."""
    for line in stdout.decode("utf-8", "replace").splitlines():
        name, _, level = line.partition("|")
        if name == user:
            return level
    return None


def _words(text: str) -> frozenset[str]:
    return frozenset(text.strip().split(",")) - {"", "none", "(null)"}

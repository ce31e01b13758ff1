"""What another account may do with a file, judged by owners and modes.

An access list or a security module may decide otherwise; neither is common on these paths.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

READ, WRITE, ENTER = 4, 2, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user with all of its groups."""

    name: str
    uid: int
    gids: frozenset[int]

    def may(self, status: os.stat_result, bits: int) -> bool:
        """Tell whether the mode grants all of some bits (`READ | WRITE | ENTER`)."""
        if self.uid == 0:
            return True
        if status.st_uid == self.uid:
            granted = status.st_mode >> 6
        elif status.st_gid in self.gids:
            granted = status.st_mode >> 3
        else:
            granted = status.st_mode
        return granted & bits == bits


def account_of(name: str) -> Account | None:
    """Return an account by its name; None: this host does not know it."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    gids = os.getgrouplist(found.pw_name, found.pw_gid)
    return Account(name=found.pw_name, uid=found.pw_uid, gids=frozenset(gids))


def own_account() -> Account:
    """Return the account that we work as."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Account(name=name, uid=uid, gids=frozenset({os.getegid(), *os.getgroups()}))


def obstacle(path: Path, account: Account, bits: int) -> str | None:
    """Return what keeps an account from a file, None if nothing does; links are followed."""
    real = Path(os.path.realpath(path))
    try:
        for parent in reversed(real.parents):
            if not account.may(parent.stat(), ENTER):
                return f"{account.name} may not pass {parent} ({described(parent.stat())})"
        status = real.stat()
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    if account.may(status, bits):
        return None
    return f"{account.name} may not {_WORDS[bits]} {path} ({described(status)})"


def opens_scripts(state_save_location: Path) -> bool:
    """Tell whether we may open the batch scripts that slurmctld keeps (`hash.N/job.ID/script`)."""
    hashed = list(state_save_location.glob("hash.*"))  # 0700 of SlurmUser, as soon as there is one
    if not hashed:
        return os.access(state_save_location, os.R_OK | os.W_OK | os.X_OK)
    return all(os.access(each, os.R_OK | os.X_OK) for each in hashed)


def described(status: os.stat_result) -> str:
    """Return owner, group and mode: `slurm:slurm 0755`."""
    mode = stat.S_IMODE(status.st_mode)
    return f"{_user(status.st_uid)}:{_group(status.st_gid)} {mode:04o}"


_WORDS = {
    READ: "read",
    READ | ENTER: "read and execute",
    READ | WRITE | ENTER: "read and write in",
    WRITE | ENTER: "write in",
}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)

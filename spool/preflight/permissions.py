"""Check who calls, and what an account may do with a file, by owners and modes.

Access lists and security modules are ignored; they are not common on these paths.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from spool.checks.result import CheckResult, CheckStatus, finding
from spool.config import Config

READ, WRITE, EXECUTE = 4, 2, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemUser:
    """A user with all groups."""

    name: str
    uid: int
    gids: frozenset[int]

    def has_permission(self, status: os.stat_result, bits: int) -> bool:
        """Return whether the mode grants all of some bits (`READ | WRITE | EXECUTE`)."""
        if self.uid == 0:
            return True
        if status.st_uid == self.uid:
            granted = status.st_mode >> 6
        elif status.st_gid in self.gids:
            granted = status.st_mode >> 3
        else:
            granted = status.st_mode
        return granted & bits == bits


def system_user(name: str) -> SystemUser | None:
    """Return an account by its name; None: this host has no such account."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    gids = os.getgrouplist(found.pw_name, found.pw_gid)
    return SystemUser(name=found.pw_name, uid=found.pw_uid, gids=frozenset(gids))


def current_user() -> SystemUser:
    """Return the account of this process."""
    uid = os.geteuid()
    return SystemUser(name=user_name(uid), uid=uid, gids=frozenset({os.getegid(), *os.getgroups()}))


def access_problem(path: Path, user: SystemUser, bits: int) -> str | None:
    """Return the problem of an account's access to a file, None if none; links are followed."""
    real = Path(os.path.realpath(path))
    try:
        for parent in reversed(real.parents):
            if not user.has_permission(parent.stat(), EXECUTE):
                return f"{user.name} has no access to {parent} ({owner_and_mode(parent.stat())})"
        status = real.stat()
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    if user.has_permission(status, bits):
        return None
    return f"{user.name} may not {_ACTIONS[bits]} {path} ({owner_and_mode(status)})"


def can_read_scripts(state_save_location: Path) -> bool:
    """Return whether we may open slurmctld's batch scripts (`hash.N/job.ID/script`)."""
    hashed = list(state_save_location.glob("hash.*"))  # 0700 of SlurmUser; none before a job
    if not hashed:
        return os.access(state_save_location, os.R_OK | os.W_OK | os.X_OK)
    return all(os.access(each, os.R_OK | os.X_OK) for each in hashed)


def owner_and_mode(status: os.stat_result) -> str:
    """Return owner, group and mode: `slurm:slurm 0755`."""
    mode = stat.S_IMODE(status.st_mode)
    return f"{user_name(status.st_uid)}:{_group(status.st_gid)} {mode:04o}"


_ACTIONS = {
    READ: "read",
    READ | EXECUTE: "read and execute",
    READ | WRITE | EXECUTE: "read and write in",
    WRITE | EXECUTE: "write in",
}


def user_name(uid: int) -> str:
    """Return the name of a user, or the number if there is no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


# Another user may see neither spool nor jobs, and would get hints to give itself all permissions.
_NAME = "check --full"
_HINT = "sudo cc-spool check --full"


def wrong_caller(config: Config) -> CheckResult | None:
    """Return the result for a caller who is neither root nor the service user, else None."""
    uid = os.geteuid()
    try:
        owner = _owner((config.spool.state_directory, config.spool.directory))
    except PermissionError:
        return not_allowed("the service user")
    if uid == 0 or owner is None or owner == uid:
        return None
    return not_allowed(f"the service user {user_name(owner)}")


def not_allowed(service: str) -> CheckResult:
    """Return the result for a caller without permission; `service` names the right user."""
    text = f"must run as root or as {service}, not as {current_user().name}"
    return finding(CheckStatus.UNKNOWN, _NAME, text, _HINT)


def _owner(paths: tuple[Path, ...]) -> int | None:
    """Return the owner of the first existing path; None: none of them exists.

    Raises:
        PermissionError: a path may not be read.
    """
    for path in paths:
        try:
            return path.stat().st_uid
        except (FileNotFoundError, NotADirectoryError):
            continue
    return None

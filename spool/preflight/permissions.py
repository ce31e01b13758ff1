"""Check who calls, what an account may do with a file, and the permissions of the spool.

Access lists and security modules are ignored; they are not common on these paths.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from slurm.light_dataclass import light_dataclass
from spool.checks.result import CheckResult, CheckStatus, finding, passed
from spool.config import Config
from spool.config.paths import file_system
from spool.files.layout import Directory

READ, WRITE, EXECUTE = 4, 2, 1


@light_dataclass
class SystemUser:
    """A user with all groups."""

    name: str
    uid: int
    gids: frozenset[int]

    def has_permission(self, status: os.stat_result, bits: int) -> bool:
        """Return whether a file's mode grants this user all bits (`READ | WRITE | EXECUTE`)."""
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


# The configuration's own checks of the directories come in addition (existing, local, one file
# system, not temporary).
_SPOOL = "spool"
_ALL = READ | WRITE | EXECUTE


def check_directories(
    spool: Path, state: Path, *, service: SystemUser, slurm_user: SystemUser | None
) -> Iterator[CheckResult]:
    """Yield the problems of owners and modes, or one result if there are none.

    `slurm_user` is None if this host has no such account.
    """
    try:
        modes = {name: (spool / name).stat() for name in Directory}
    except OSError as error:
        text = f"{error.filename}: {error.strerror}"
        yield finding(CheckStatus.CRITICAL, _SPOOL, text, "create it as docs/install.md shows")
        return
    found = [
        *_check_new(spool / Directory.NEW, modes[Directory.NEW], service, slurm_user),
        *_check_service_directories(spool, modes, service),
        *_check_state(state, service),
    ]
    if not found:
        where = f"{spool} on {file_system(spool) or 'an unknown file system'}"
        writer = slurm_user.name if slurm_user else "SlurmUser"
        found = [
            passed(_SPOOL, f"{where}: {writer} can write events, and {service.name} can read them")
        ]
    yield from found


def _check_new(
    new: Path, status: os.stat_result, service: SystemUser, slurm_user: SystemUser | None
) -> Iterator[CheckResult]:
    owner = slurm_user.name if slurm_user else "SlurmUser"
    group = service.name
    hint = f"chown {owner}:{group} {new}; chmod 2770 {new}"
    if slurm_user is None:
        text = "SlurmUser has no account on this host, so the hooks cannot run here"
        yield finding(CheckStatus.WARNING, _SPOOL, text, "install the hooks on slurmctld's host")
    elif blocked := access_problem(new, slurm_user, WRITE | EXECUTE):
        yield finding(
            CheckStatus.CRITICAL, _SPOOL, f"the hooks cannot write events: {blocked}", hint
        )
    if not service.has_permission(status, _ALL):
        text = (
            f"{service.name} lacks the permission to read or to remove events in {new}"
            f" ({owner_and_mode(status)})"
        )
        yield finding(CheckStatus.CRITICAL, _SPOOL, text, hint)
    is_foreign = slurm_user is not None and service.uid not in (slurm_user.uid, 0)
    if is_foreign and not (status.st_mode & stat.S_ISGID and status.st_gid in service.gids):
        text = f"{new} ({owner_and_mode(status)}) has no setgid bit: the service cannot read events"
        yield finding(CheckStatus.CRITICAL, _SPOOL, text, hint)
    if status.st_mode & stat.S_IRWXO:
        text = f"other users can list {new} ({owner_and_mode(status)})"
        yield finding(CheckStatus.WARNING, _SPOOL, text, f"chmod o= {new}")


def _check_service_directories(
    spool: Path, modes: dict[Directory, os.stat_result], service: SystemUser
) -> Iterator[CheckResult]:
    for name in (Directory.TODO, Directory.OPEN, Directory.DEAD, Directory.TMP):
        path, status = spool / name, modes[name]
        if not service.has_permission(status, _ALL):
            text = (
                f"{service.name} lacks the permission to read or to write in {path}"
                f" ({owner_and_mode(status)})"
            )
            hint = f"chown {service.name}: {path}; chmod 0750 {path}"
            yield finding(CheckStatus.CRITICAL, _SPOOL, text, hint)
        if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            text = f"other users can read or write in {path} ({owner_and_mode(status)})"
            yield finding(CheckStatus.WARNING, _SPOOL, text, f"chmod 0750 {path}")


def _check_state(state: Path, service: SystemUser) -> Iterator[CheckResult]:
    """Yield what is wrong with owner and mode of the state directory, which holds the locks."""
    if blocked := access_problem(state, service, _ALL):
        hint = f"chown {service.name}: {state}; chmod 0750 {state}"
        yield finding(CheckStatus.CRITICAL, _SPOOL, f"the state cannot be written: {blocked}", hint)
        return
    status = state.stat()
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        text = f"other users can read or write in {state} ({owner_and_mode(status)})"
        yield finding(CheckStatus.WARNING, _SPOOL, text, f"chmod 0750 {state}")

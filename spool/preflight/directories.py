"""Check the permissions of the spool: SlurmUser writes events, only the service reads them.

The configuration's own checks come in addition (existing, local, one file system, not temporary).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from spool.checks.result import CheckResult, CheckStatus, finding, passed
from spool.config.paths import file_system
from spool.files.layout import Directory
from spool.preflight.permissions import (
    EXECUTE,
    READ,
    WRITE,
    SystemUser,
    access_problem,
    owner_and_mode,
)

_NAME = "spool"
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
        yield finding(CheckStatus.CRITICAL, _NAME, text, "create it as the README shows")
        return
    found = [
        *_check_new(spool / Directory.NEW, modes[Directory.NEW], service, slurm_user),
        *_check_service_directories(spool, modes, service),
        *_check_state(state, service),
    ]
    if not found:
        where = f"{spool} on {file_system(spool) or 'an unknown file system'}"
        writer = slurm_user.name if slurm_user else "SlurmUser"
        found = [passed(_NAME, f"{where}: {writer} can write events, {service.name} read them")]
    yield from found


def _check_new(
    new: Path, status: os.stat_result, service: SystemUser, slurm_user: SystemUser | None
) -> Iterator[CheckResult]:
    owner = slurm_user.name if slurm_user else "SlurmUser"
    group = service.name
    hint = f"chown {owner}:{group} {new}; chmod 2770 {new}"
    if slurm_user is None:
        text = "this host has no account of SlurmUser, so the hooks cannot run here"
        yield finding(CheckStatus.WARNING, _NAME, text, "install the hooks where slurmctld runs")
    elif blocked := access_problem(new, slurm_user, WRITE | EXECUTE):
        yield finding(
            CheckStatus.CRITICAL, _NAME, f"the hooks cannot write events: {blocked}", hint
        )
    if not service.has_permission(status, _ALL):
        text = f"{service.name} cannot read and remove events in {new} ({owner_and_mode(status)})"
        yield finding(CheckStatus.CRITICAL, _NAME, text, hint)
    is_foreign = slurm_user is not None and service.uid not in (slurm_user.uid, 0)
    if is_foreign and not (status.st_mode & stat.S_ISGID and status.st_gid in service.gids):
        text = f"{new} ({owner_and_mode(status)}) has no setgid bit: the service cannot read events"
        yield finding(CheckStatus.CRITICAL, _NAME, text, hint)
    if status.st_mode & stat.S_IRWXO:
        text = f"other users may list {new} ({owner_and_mode(status)})"
        yield finding(CheckStatus.WARNING, _NAME, text, f"chmod o= {new}")


def _check_service_directories(
    spool: Path, modes: dict[Directory, os.stat_result], service: SystemUser
) -> Iterator[CheckResult]:
    for name in (Directory.TODO, Directory.OPEN, Directory.DEAD, Directory.TMP):
        path, status = spool / name, modes[name]
        if not service.has_permission(status, _ALL):
            text = f"{service.name} cannot read and write in {path} ({owner_and_mode(status)})"
            hint = f"chown {service.name}: {path}; chmod 0750 {path}"
            yield finding(CheckStatus.CRITICAL, _NAME, text, hint)
        if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            text = f"other users may read or write in {path} ({owner_and_mode(status)})"
            yield finding(CheckStatus.WARNING, _NAME, text, f"chmod 0750 {path}")


def _check_state(state: Path, service: SystemUser) -> Iterator[CheckResult]:
    """Yield the problems of the state directory; a lock is only as safe as its directory."""
    if blocked := access_problem(state, service, _ALL):
        hint = f"chown {service.name}: {state}; chmod 0750 {state}"
        yield finding(CheckStatus.CRITICAL, _NAME, f"the state cannot be written: {blocked}", hint)
        return
    status = state.stat()
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        text = f"other users may read or write in {state} ({owner_and_mode(status)})"
        yield finding(CheckStatus.WARNING, _NAME, text, f"chmod 0750 {state}")

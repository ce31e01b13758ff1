"""Who may do what in the spool: SlurmUser leaves events, the service takes them, others nothing.

Beside these stand the configuration's own checks (there, local, one file system, not temporary).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from spool.checks.result import Result, Verdict, bad, good
from spool.config.places import file_system
from spool.files.layout import Directory
from spool.preflight.reach import (
    ENTER,
    READ,
    WRITE,
    Account,
    described,
    obstacle,
)

_NAME = "spool"
_ALL = READ | WRITE | ENTER


def check_directories(
    spool: Path, state: Path, *, service: Account, slurm_user: Account | None
) -> Iterator[Result]:
    """Yield what is wrong with owners and modes, or that all is well.

    `slurm_user` is None where this host does not know that account.
    """
    try:
        modes = {name: (spool / name).stat() for name in Directory}
    except OSError as error:
        text = f"{error.filename}: {error.strerror}"
        yield bad(Verdict.CRITICAL, _NAME, text, "create it as the README shows")
        return
    found = [
        *_events(spool / Directory.NEW, modes[Directory.NEW], service, slurm_user),
        *_own(spool, modes, service),
        *_state(state, service),
    ]
    if not found:
        where = f"{spool} on {file_system(spool) or 'an unknown file system'}"
        writer = slurm_user.name if slurm_user else "SlurmUser"
        found = [good(_NAME, f"{where}: {writer} leaves events, {service.name} takes them")]
    yield from found


def _events(
    new: Path, status: os.stat_result, service: Account, slurm_user: Account | None
) -> Iterator[Result]:
    owner = slurm_user.name if slurm_user else "SlurmUser"
    group = service.name
    hint = f"chown {owner}:{group} {new}; chmod 2770 {new}"
    if slurm_user is None:
        text = "this host does not know SlurmUser's account: do the hooks run here?"
        yield bad(Verdict.WARNING, _NAME, text, "install the hooks where slurmctld runs")
    elif blocked := obstacle(new, slurm_user, WRITE | ENTER):
        yield bad(Verdict.CRITICAL, _NAME, f"the hooks cannot leave events: {blocked}", hint)
    if not service.may(status, _ALL):
        text = f"{service.name} cannot take events from {new} ({described(status)})"
        yield bad(Verdict.CRITICAL, _NAME, text, hint)
    is_foreign = slurm_user is not None and service.uid not in (slurm_user.uid, 0)
    if is_foreign and not (status.st_mode & stat.S_ISGID and status.st_gid in service.gids):
        text = f"{new} ({described(status)}) does not hand its group on to the files of the hooks"
        yield bad(Verdict.CRITICAL, _NAME, text, hint)
    if status.st_mode & stat.S_IRWXO:
        text = f"others may look into {new} ({described(status)})"
        yield bad(Verdict.WARNING, _NAME, text, f"chmod o= {new}")


def _own(spool: Path, modes: dict[Directory, os.stat_result], service: Account) -> Iterator[Result]:
    for name in (Directory.TODO, Directory.OPEN, Directory.DEAD, Directory.TMP):
        path, status = spool / name, modes[name]
        if not service.may(status, _ALL):
            text = f"{service.name} cannot work in {path} ({described(status)})"
            hint = f"chown {service.name}: {path}; chmod 0750 {path}"
            yield bad(Verdict.CRITICAL, _NAME, text, hint)
        if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            text = f"not the service alone may work in {path} ({described(status)})"
            yield bad(Verdict.WARNING, _NAME, text, f"chmod 0750 {path}")


def _state(state: Path, service: Account) -> Iterator[Result]:
    """Yield what is wrong with the state directory: a lock is as safe as its directory."""
    if blocked := obstacle(state, service, _ALL):
        hint = f"chown {service.name}: {state}; chmod 0750 {state}"
        yield bad(Verdict.CRITICAL, _NAME, f"state cannot be kept: {blocked}", hint)
        return
    status = state.stat()
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        text = f"not the service alone may work in {state} ({described(status)})"
        yield bad(Verdict.WARNING, _NAME, text, f"chmod 0750 {state}")

"""Decodes `sacctmgr show`: the rights of an account and what accounting hides from it."""

from __future__ import annotations

import re

from slurm.decode.scontrol_config import words_of

_DBD = "SlurmDBD configuration:"
_PRIVATE = re.compile(r"^PrivateData\s*= ?(.*)$", re.MULTILINE)


def parse_private_accounting(stdout: bytes) -> frozenset[str] | None:
    """Return `PrivateData` of slurmdbd.conf from `sacctmgr show configuration`; None: not there."""
    _, _, text = stdout.decode("utf-8", "replace").partition(_DBD)
    found = _PRIVATE.search(text)
    return None if found is None else words_of(found[1])


def parse_admin_level(stdout: bytes, user: str) -> str | None:
    """Return AdminLevel from `sacctmgr -n -P show user format=User,AdminLevel`; None: unknown."""
    for line in stdout.decode("utf-8", "replace").splitlines():
        name, _, level = line.partition("|")
        if name == user:
            return level
    return None

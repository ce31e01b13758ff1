"""Check that the full check runs as root, which becomes the service user, or as that user.

Another user may see neither spool nor jobs, and would get hints to give itself all permissions.
"""

from __future__ import annotations

import os
from pathlib import Path

from spool.checks.result import CheckResult, CheckStatus, finding
from spool.config import Config
from spool.preflight.permissions import current_user, user_name

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

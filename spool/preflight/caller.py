"""Who may make the full check: root, which becomes the service's user, and that user itself.

Anybody else may see neither spool nor jobs, and would be told to give all of it to themselves.
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
    """Return the result for a caller who is neither root nor the service's user, else None."""
    uid = os.geteuid()
    try:
        owner = _owner((config.spool.state_directory, config.spool.directory))
    except PermissionError:
        return not_allowed("the service's user")
    if uid == 0 or owner is None or owner == uid:
        return None
    return not_allowed(f"the service's user {user_name(owner)}")


def not_allowed(service: str) -> CheckResult:
    """Return the result for a caller who may not look; `service` names who may."""
    text = f"must run as root or as {service}, not as {current_user().name}"
    return finding(CheckStatus.UNKNOWN, _NAME, text, _HINT)


def _owner(paths: tuple[Path, ...]) -> int | None:
    """Return the user that the first existing path belongs to; None: there is none of them.

    Raises:
        PermissionError: it may not be looked at.
    """
    for path in paths:
        try:
            return path.stat().st_uid
        except (FileNotFoundError, NotADirectoryError):
            continue
    return None

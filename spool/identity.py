"""The user of a command: root is changed to the owner of the state directory.

The service could not read files that root created. Configuration and token, which may be readable
only by root, are read before the change; spool, state directory and log are opened after it.
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ccbackend.errors import ExpiredTokenError, TokenError
from ccbackend.token import Token, TokenFile, parse_token
from spool import console
from spool.config import Config, token_source
from spool.errors import SpoolError


class MaskedToken:
    """The token of a command; every value it ever had is hidden in the output.

    If only root can read the file, the value read as root is used until the file changes.
    """

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.path = token_source(config, credentials=credentials_directory())
        if self.path is None:
            fixed = parse_token(config.cc_backend.apikey or "")
            self._read: Callable[[], Token] = lambda: fixed
            self.fingerprint: Callable[[], tuple[int, ...] | None] = lambda: None
            """Returns values that change with the file; None if it is missing, or there is none."""
        else:
            file = TokenFile(self.path)
            self._read, self.fingerprint = file.current, file.fingerprint

    def current(self) -> Token:
        """Return the token, read again if its file has changed.

        Raises:
            TokenError: it cannot be used.
        """
        token = self._read()
        console.hide_secret(token.value)
        return token

    def __call__(self) -> str:
        """Return the token's text, for a header.

        Raises:
            TokenError: it cannot be used.
            ExpiredTokenError: it has expired.
        """
        token = self.current()
        if token.expired(self._clock()):
            raise ExpiredTokenError(str(self.path or "cc-backend.apikey"))
        return token.value


def credentials_directory() -> Path | None:
    """Return systemd's directory of credentials (LoadCredential), if there is one."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory) if directory else None


def open_token(config: Config) -> MaskedToken:
    """Return the token, read as the current user; an unreadable token raises when it is used."""
    token = MaskedToken(config)
    with suppress(TokenError):
        token.current()
    return token


def become_service(state_directory: Path) -> None:
    """Change to the owner of the state directory if we are root; this is permanent.

    Raises:
        SpoolError: the directory does not exist.
        PermissionError: the kernel refuses (a container without the capability).
    """
    if os.geteuid() != 0:
        return
    try:
        status = state_directory.stat()
    except OSError as error:
        hint = "create it as docs/install.md shows, or correct spool.state_directory"
        raise SpoolError(str(state_directory), error.strerror or "unusable", hint) from error
    if status.st_uid == 0:
        return
    group, groups = _groups_of(status.st_uid, status.st_gid)
    os.setgroups(groups)
    os.setgid(group)
    os.setuid(status.st_uid)


def _groups_of(uid: int, gid: int) -> tuple[int, list[int]]:
    """Return the primary group and all groups of a user; only `gid` if the user has no name."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return gid, [gid]
    return user.pw_gid, os.getgrouplist(user.pw_name, user.pw_gid)

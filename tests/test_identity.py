"""Commands started by root become the service user, groups first."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from spool.errors import SpoolError
from spool.identity import become_service


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Return the recorded calls that would change the process's identity; root is not needed."""
    made: list[tuple[str, Any]] = []
    for name in ("setgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, lambda value, name=name: made.append((name, value)))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return made


class Owned:
    """A state directory with a given owner."""

    def __init__(self, uid: int, gid: int) -> None:
        self.st_uid, self.st_gid = uid, gid

    def stat(self) -> Owned:
        """Return the owner."""
        return self


def owned(uid: int, gid: int) -> Any:
    """Return a state directory with a given owner."""
    return Owned(uid, gid)


def test_groups_are_set_before_the_user(calls: list[tuple[str, Any]]) -> None:
    """After setuid a command that root started has no right to change its groups."""
    user = pwd.getpwnam("nobody")
    become_service(owned(user.pw_uid, 0))

    groups = os.getgrouplist("nobody", user.pw_gid)
    assert [("setgroups", groups), ("setgid", user.pw_gid), ("setuid", user.pw_uid)] == calls


def test_the_directorys_group_is_used_for_an_owner_without_a_user_name(
    calls: list[tuple[str, Any]],
) -> None:
    """The name service does not know the owner of the state directory, or does not answer."""
    become_service(owned(2**31 - 7, 12))

    assert [("setgroups", [12]), ("setgid", 12), ("setuid", 2**31 - 7)] == calls


def test_a_process_without_root_keeps_its_user(
    calls: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a command started by root becomes the service user, the owner of the state directory."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    become_service(owned(5, 5))

    assert [] == calls


def test_root_stays_root_if_it_owns_the_state_directory(calls: list[tuple[str, Any]]) -> None:
    """For example in a trial installation, which has no service user."""
    become_service(owned(0, 0))

    assert [] == calls


def test_without_a_state_directory_the_command_fails(
    calls: list[tuple[str, Any]], tmp_path: Path
) -> None:
    """The command does not continue as root; the message says to create the directory."""
    with pytest.raises(SpoolError, match=r"No such file or directory; create it"):
        become_service(tmp_path / "none")

    assert [] == calls

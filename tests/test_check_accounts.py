"""Which files and directories an account can access, and which permission is missing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.preflight.permissions import (
    EXECUTE,
    READ,
    WRITE,
    SystemUser,
    access_problem,
    can_read_scripts,
    current_user,
    owner_and_mode,
    system_user,
)

STRANGER = SystemUser(name="slurm", uid=2**31 - 9, gids=frozenset({2**31 - 9}))


@pytest.fixture
def place() -> Iterator[Path]:
    """Make a directory that every account can enter, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made).resolve()
        path.chmod(0o755)
        yield path


@pytest.mark.parametrize(
    ("account", "mode", "bits", "may"),
    [
        (SystemUser(name="root", uid=0, gids=frozenset()), 0o000, WRITE, True),
        (STRANGER, 0o755, READ | EXECUTE, True),
        (STRANGER, 0o755, READ | WRITE, False),
        (SystemUser(name="g", uid=2**31 - 9, gids=frozenset({os.getegid()})), 0o070, WRITE, True),
        (SystemUser(name="g", uid=2**31 - 9, gids=frozenset({os.getegid()})), 0o707, WRITE, False),
    ],
)
def test_file_modes_grant_access_by_owner_group_and_others(
    place: Path,
    account: SystemUser,
    mode: int,
    bits: int,
    *,
    may: bool,
) -> None:
    """The first class that matches the user decides, as in the kernel."""
    (place / "x").touch()
    os.chown(place / "x", -1, os.getegid())
    (place / "x").chmod(mode)
    assert may is account.has_permission((place / "x").stat(), bits)


def test_the_owner_bits_of_a_file_mode_apply_to_the_owner(place: Path) -> None:
    """The owner of a file with mode 0077 cannot read it, although other users can."""
    (place / "x").touch()
    status = (place / "x").stat()
    owner = SystemUser(name="o", uid=status.st_uid or 5, gids=frozenset({status.st_gid}))
    fields = list(status)
    fields[0], fields[4] = 0o100077, owner.uid
    assert not owner.has_permission(os.stat_result(fields), READ)


def test_the_problem_names_the_path_without_access(place: Path) -> None:
    """The path is a closed parent directory, the file itself, or a file that does not exist."""
    (place / "d").mkdir()
    (place / "d" / "x").touch(0o644)
    (place / "d" / "x").chmod(0o644)
    (place / "d").chmod(0o755)
    assert access_problem(place / "d" / "x", STRANGER, READ) is None
    assert "slurm may not read and execute" in (
        access_problem(place / "d" / "x", STRANGER, READ | EXECUTE) or ""
    )
    (place / "d").chmod(0o700)
    assert f"slurm has no access to {place / 'd'}" in (
        access_problem(place / "d" / "x", STRANGER, READ) or ""
    )
    assert "No such file" in (access_problem(place / "none", STRANGER, READ) or "")


def test_users_come_from_the_name_service() -> None:
    """The program's own user is always found, another user only if the name service has it."""
    assert os.geteuid() == current_user().uid
    root = system_user("root")
    assert root is not None
    assert 0 == root.uid
    assert system_user("no-such-account-here") is None


def test_a_user_without_name_is_shown_as_a_number(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    """Containers can have a UID that the name service does not know."""
    monkeypatch.setattr(os, "geteuid", lambda: 2**31 - 9)
    assert str(2**31 - 9) == current_user().name
    fields = list(place.stat())
    fields[0], fields[4], fields[5] = 0o40750, 2**31 - 9, 2**31 - 7
    assert f"{2**31 - 9}:{2**31 - 7} 0750" == owner_and_mode(os.stat_result(fields))


def test_access_to_scripts_is_tested_in_their_own_directories(place: Path) -> None:
    """Access to StateSaveLocation itself does not prove access to the scripts."""
    assert can_read_scripts(place)  # it is empty and owned by us
    (place / "hash.0").mkdir()
    assert can_read_scripts(place)
    assert not can_read_scripts(place / "none")

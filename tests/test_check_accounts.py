"""Which files and directories an account can reach, and what is in its way."""

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
    """Make a directory that every account may pass, as tmp_path is not."""
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
def test_modes_grant_by_owner_group_and_others(
    place: Path,
    account: SystemUser,
    mode: int,
    bits: int,
    *,
    may: bool,
) -> None:
    """The first class that fits decides, as in the kernel."""
    (place / "x").touch()
    os.chown(place / "x", -1, os.getegid())
    (place / "x").chmod(mode)
    assert may is account.has_permission((place / "x").stat(), bits)


def test_owner_is_judged_by_the_owners_bits(place: Path) -> None:
    """Also where others could do more."""
    (place / "x").touch()
    status = (place / "x").stat()
    owner = SystemUser(name="o", uid=status.st_uid or 5, gids=frozenset({status.st_gid}))
    fields = list(status)
    fields[0], fields[4] = 0o100077, owner.uid
    assert not owner.has_permission(os.stat_result(fields), READ)


def test_obstacle_names_what_is_in_the_way(place: Path) -> None:
    """A closed directory above, the file itself, or that there is none."""
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


def test_accounts_come_from_the_name_service() -> None:
    """Our own one always, another one if it is known."""
    assert os.geteuid() == current_user().uid
    root = system_user("root")
    assert root is not None
    assert 0 == root.uid
    assert system_user("no-such-account-here") is None


def test_account_without_name_is_a_number(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Containers have such ones."""
    monkeypatch.setattr(os, "geteuid", lambda: 2**31 - 9)
    assert str(2**31 - 9) == current_user().name
    fields = list(place.stat())
    fields[0], fields[4], fields[5] = 0o40750, 2**31 - 9, 2**31 - 7
    assert f"{2**31 - 9}:{2**31 - 7} 0750" == owner_and_mode(os.stat_result(fields))


def test_scripts_lie_in_directories_of_their_own(place: Path) -> None:
    """That StateSaveLocation itself is open proves nothing."""
    assert can_read_scripts(place)  # nothing in it yet, and ours
    (place / "hash.0").mkdir()
    assert can_read_scripts(place)
    assert not can_read_scripts(place / "none")

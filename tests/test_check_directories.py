"""Checks of the spool and state directories for SlurmUser and the service user."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.checks.result import CheckResult, CheckStatus
from spool.files.layout import Directory
from spool.preflight.permissions import (
    SystemUser,
    check_directories,
    current_user,
)

STRANGER = SystemUser(name="slurm", uid=2**31 - 9, gids=frozenset({2**31 - 9}))
ME = SystemUser(name="svc", uid=os.geteuid() or 2**31 - 8, gids=frozenset({os.getegid()}))


@pytest.fixture
def place() -> Iterator[Path]:
    """Make a directory that every account can enter, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made).resolve()
        path.chmod(0o755)
        yield path


def make_spool(place: Path) -> tuple[Path, Path]:
    """Make spool and state directories as installed, with our account as the service user."""
    spool, state = place / "spool", place / "state"
    for path in (spool, state, *(spool / name for name in Directory)):
        path.mkdir()
        os.chown(path, -1, os.getegid())
        path.chmod(0o750)
    spool.chmod(0o755)
    (spool / "new").chmod(0o2770)
    return spool, state


def directories(
    place: Path, slurm_user: SystemUser | None = None, **how: SystemUser
) -> list[CheckResult]:
    """Return the results; by default our account is both service user and SlurmUser."""
    service = how.get("service", current_user())
    return [
        *check_directories(
            place / "spool",
            place / "state",
            service=service,
            slurm_user=slurm_user or how.get("user", service),
        )
    ]


def test_directories_as_installed_are_in_order(place: Path) -> None:
    """The check gives one OK result if our user is both service user and SlurmUser."""
    make_spool(place)
    (found,) = directories(place)
    assert CheckStatus.OK is found.status
    assert f"{place}/spool on " in found.text


def test_a_missing_spool_directory_is_critical(place: Path) -> None:
    """Without dead/ there is only this result: the other checks need all directories."""
    make_spool(place)
    (place / "spool" / "dead").rmdir()
    (found,) = directories(place)
    assert (CheckStatus.CRITICAL, True) == (found.status, "dead: No such file" in found.text)


def texts(results: list[CheckResult], verdict: CheckStatus) -> str:
    """Return the texts of the results with a status."""
    return "\n".join(result.text for result in results if result.status is verdict)


def test_slurm_user_must_be_able_to_write_events(place: Path) -> None:
    """If SlurmUser may not write in new/, every event is lost."""
    make_spool(place)
    assert "the hooks cannot write events: slurm may not write in" in texts(
        directories(place, STRANGER), CheckStatus.CRITICAL
    )
    (place / "spool" / "new").chmod(0o2777)
    found = directories(place, STRANGER)
    assert "other users can list" in texts(found, CheckStatus.WARNING)
    assert "" == texts(found, CheckStatus.CRITICAL)


def test_new_files_must_inherit_the_group_if_slurm_has_another_user(place: Path) -> None:
    """Without a setgid bit on new/ the drain could not read the files that the hooks write."""
    make_spool(place)
    (place / "spool" / "new").chmod(0o777)
    found = check_directories(place / "spool", place / "state", service=ME, slurm_user=STRANGER)
    assert "has no setgid bit" in texts([*found], CheckStatus.CRITICAL)


def test_an_unknown_slurm_user_is_a_warning(place: Path) -> None:
    """SlurmUser does not exist on this host; the hooks can run on another host that has it."""
    make_spool(place)
    found = check_directories(
        place / "spool", place / "state", service=current_user(), slurm_user=None
    )
    assert "SlurmUser has no account" in texts([*found], CheckStatus.WARNING)


def test_the_service_user_must_have_access(place: Path) -> None:
    """The service user needs access to all spool directories and to the state directory."""
    spool, state = make_spool(place)
    found = directories(place, service=STRANGER)
    shown = texts(found, CheckStatus.CRITICAL)
    for path in (spool / "new", spool / "todo", spool / "open", spool / "dead", spool / "tmp"):
        assert str(path) in shown
    assert f"the state cannot be written: slurm may not read and write in {state}" in shown
    assert all(result.hint for result in found)


def test_access_of_other_users_is_a_warning(place: Path) -> None:
    """A dead letter contains a user's text; the drain's lock is only as safe as its directory."""
    spool, state = make_spool(place)
    (spool / "dead").chmod(0o755)
    state.chmod(0o770)
    shown = texts(directories(place), CheckStatus.WARNING)
    assert 2 == shown.count("other users can read or write in")
    assert str(spool / "dead") in shown
    assert str(state) in shown

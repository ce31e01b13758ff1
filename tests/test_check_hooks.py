"""Checks of hook lines, stubs and directories, with accounts that need not exist on this host."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.checks.result import CheckResult, CheckStatus
from spool.files.layout import Directory
from spool.preflight.hooks import DEFAULT_SPOOL, check_hooks
from spool.preflight.permissions import (
    EXECUTE,
    READ,
    WRITE,
    SystemUser,
    access_problem,
    can_read_scripts,
    check_directories,
    current_user,
    owner_and_mode,
    system_user,
)

HOOKS = Path(__file__).resolve().parent.parent / "hooks"
STRANGER = SystemUser(name="slurm", uid=2**31 - 9, gids=frozenset({2**31 - 9}))
ME = SystemUser(name="svc", uid=os.geteuid() or 2**31 - 8, gids=frozenset({os.getegid()}))


@pytest.fixture
def place() -> Iterator[Path]:
    """Make a directory that every account may pass, as tmp_path is not."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made).resolve()
        path.chmod(0o755)
        yield path


# ---- reach


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
    may: bool,  # noqa: FBT001 - a parameter of the table
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


# ---- hook lines


def install(place: Path, spool: Path = DEFAULT_SPOOL) -> Path:
    """Put the hooks where SlurmUser reaches them."""
    hooks = place / "hooks"
    hooks.mkdir()
    hooks.chmod(0o755)
    for source in HOOKS.iterdir():
        line = "#CC_SLURM_SYNC_SPOOL=/var/spool/cc-slurm-sync"
        copy = hooks / source.name
        copy.write_text(source.read_text().replace(line, f"CC_SLURM_SYNC_SPOOL={spool}"))
        copy.chmod(0o755)
    return hooks


def prolog(
    paths: list[Path], spool: Path = DEFAULT_SPOOL, user: SystemUser | None = STRANGER
) -> CheckResult:
    """Return the verdict on the prolog's line."""
    return next(check_hooks({"PrologSlurmctld": [str(path) for path in paths]}, spool, user))


def test_installed_hooks_are_well(place: Path) -> None:
    """Both lines name the stub of their own name."""
    hooks = install(place, place / "spool")
    config = {
        "PrologSlurmctld": [str(hooks / "prolog_slurmctld")],
        "EpilogSlurmctld": [str(hooks / "epilog_slurmctld")],
    }
    found = [*check_hooks(config, place / "spool", STRANGER)]
    assert [CheckStatus.OK, CheckStatus.OK] == [result.status for result in found]
    assert f"{hooks}/prolog_slurmctld writes events to {place}/spool" == found[0].text


def test_untouched_stub_writes_to_the_usual_spool() -> None:
    """The checkout's own hooks name no spool."""
    stub = HOOKS / "prolog_slurmctld"
    assert CheckStatus.OK is prolog([stub], user=None).status
    other = prolog([stub], Path("/srv/spool"), user=None)
    assert CheckStatus.CRITICAL is other.status
    assert f"{stub} writes to {DEFAULT_SPOOL}, but the drain reads /srv/spool" == other.text


def test_missing_line_is_critical() -> None:
    """Jobs would be reported by the sweep alone."""
    found = [*check_hooks({"PrologSlurmctld": ()}, DEFAULT_SPOOL, None)]
    assert [CheckStatus.CRITICAL, CheckStatus.CRITICAL] == [result.status for result in found]
    assert "add EpilogSlurmctld=" in found[1].hint
    assert "epilog_slurmctld" in found[1].hint


def test_swapped_lines_are_critical(place: Path) -> None:
    """A prolog that writes stop events."""
    found = prolog([install(place) / "epilog_slurmctld"])
    assert (CheckStatus.CRITICAL, True) == (found.status, "of the other hook" in found.text)


def test_one_of_several_lines_may_be_ours(place: Path) -> None:
    """Slurm 24.05 and later take several."""
    (place / "site").write_text("#!/bin/sh\n")
    hooks = install(place)
    assert CheckStatus.OK is prolog([place / "site", hooks / "prolog_slurmctld"]).status


def test_site_script_may_call_the_stub(place: Path) -> None:
    """It works, and depends on a script that is not ours."""
    stub = install(place) / "prolog_slurmctld"
    site = place / "site"
    site.write_text(f"#!/bin/sh\n# {stub}.old\n/usr/bin/logger x; {stub} || true\n")
    found = prolog([site])
    assert CheckStatus.WARNING is found.status
    assert found.text.endswith(f"called by {site}")
    stub.chmod(0o600)
    assert CheckStatus.CRITICAL is prolog([site]).status


def test_foreign_script_is_critical(place: Path) -> None:
    """Also one that calls a stub which is not there."""
    site = place / "site"
    site.write_text("#!/bin/sh\n/etc/none/prolog_slurmctld\n")
    found = prolog([site])
    assert (CheckStatus.CRITICAL, True) == (found.status, "does not call our hook" in found.text)


def test_script_that_cannot_be_read_is_unknown(place: Path) -> None:
    """It may lie on another host, or be closed to us."""
    assert CheckStatus.UNKNOWN is prolog([place / "none"]).status


@pytest.mark.parametrize("name", ["prolog_slurmctld", "spool_event"])
def test_slurm_user_must_reach_stub_and_what_it_sources(place: Path, name: str) -> None:
    """A stub that cannot be run keeps slurmctld from starting; one that sources nothing is mute."""
    hooks = install(place)
    (hooks / name).chmod(0o600)
    found = prolog([hooks / "prolog_slurmctld"])
    assert (CheckStatus.CRITICAL, True) == (found.status, name in found.text)


def test_stub_may_source_from_elsewhere(place: Path) -> None:
    """A path of its own counts before the directory of the stub."""
    stub = install(place) / "prolog_slurmctld"
    stub.write_text(f"cc_slurm_sync_kind=start\ncc_slurm_sync_event={place}/none/spool_event\n")
    assert "none" in prolog([stub]).text


# ---- directories


def make_spool(place: Path) -> tuple[Path, Path]:
    """Make spool and state as installed, for ourselves as the service."""
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
    """Return the verdicts, with the service's account as both by default."""
    service = how.get("service", current_user())
    return [
        *check_directories(
            place / "spool",
            place / "state",
            service=service,
            slurm_user=slurm_user or how.get("user", service),
        )
    ]


def test_directories_as_installed_are_well(place: Path) -> None:
    """The drain may run as SlurmUser."""
    make_spool(place)
    (found,) = directories(place)
    assert CheckStatus.OK is found.status
    assert f"{place}/spool on " in found.text


def test_missing_directory_is_critical(place: Path) -> None:
    """Nothing else can be judged then."""
    make_spool(place)
    (place / "spool" / "dead").rmdir()
    (found,) = directories(place)
    assert (CheckStatus.CRITICAL, True) == (found.status, "dead: No such file" in found.text)


def texts(results: list[CheckResult], verdict: CheckStatus) -> str:
    """Return the texts with a verdict."""
    return "\n".join(result.text for result in results if result.status is verdict)


def test_slurm_user_must_be_able_to_leave_events(place: Path) -> None:
    """Else every event is lost."""
    make_spool(place)
    assert "the hooks cannot write events: slurm may not write in" in texts(
        directories(place, STRANGER), CheckStatus.CRITICAL
    )
    (place / "spool" / "new").chmod(0o2777)
    found = directories(place, STRANGER)
    assert "other users may list" in texts(found, CheckStatus.WARNING)
    assert "" == texts(found, CheckStatus.CRITICAL)


def test_group_must_be_handed_on_where_two_accounts_work(place: Path) -> None:
    """A hook's file of SlurmUser's own group could not be read by the drain."""
    make_spool(place)
    (place / "spool" / "new").chmod(0o777)
    found = check_directories(place / "spool", place / "state", service=ME, slurm_user=STRANGER)
    assert "has no setgid bit" in texts([*found], CheckStatus.CRITICAL)


def test_unknown_slurm_user_warns(place: Path) -> None:
    """The hooks run where it is known."""
    make_spool(place)
    found = check_directories(
        place / "spool", place / "state", service=current_user(), slurm_user=None
    )
    assert "SlurmUser has no account" in texts([*found], CheckStatus.WARNING)


def test_service_must_be_able_to_work(place: Path) -> None:
    """In all directories, those of the state too."""
    spool, state = make_spool(place)
    found = directories(place, service=STRANGER)
    told = texts(found, CheckStatus.CRITICAL)
    for path in (spool / "new", spool / "todo", spool / "open", spool / "dead", spool / "tmp"):
        assert str(path) in told
    assert f"the state cannot be written: slurm may not read and write in {state}" in told
    assert all(result.hint for result in found)


def test_nobody_else_should_work_there(place: Path) -> None:
    """A dead letter holds what a job's owner wrote; a lock is as safe as its directory."""
    spool, state = make_spool(place)
    (spool / "dead").chmod(0o755)
    state.chmod(0o770)
    told = texts(directories(place), CheckStatus.WARNING)
    assert 2 == told.count("other users may read or write in")
    assert str(spool / "dead") in told
    assert str(state) in told

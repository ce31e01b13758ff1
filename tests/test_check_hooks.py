"""Checks of the hook lines of slurm.conf and of the stubs that they name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.checks.result import CheckResult, CheckStatus
from spool.preflight.hooks import DEFAULT_SPOOL, check_hooks
from spool.preflight.permissions import (
    SystemUser,
)

HOOKS = Path(__file__).resolve().parent.parent / "hooks"
STRANGER = SystemUser(name="slurm", uid=2**31 - 9, gids=frozenset({2**31 - 9}))


@pytest.fixture
def place() -> Iterator[Path]:
    """Make a directory that every account can enter, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made).resolve()
        path.chmod(0o755)
        yield path


def install(place: Path, spool: Path = DEFAULT_SPOOL) -> Path:
    """Copy the hooks to a directory that SlurmUser can access."""
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
    """Return the result for the prolog's line."""
    return next(check_hooks({"PrologSlurmctld": tuple(map(str, paths))}, spool, user))


def test_installed_hooks_pass_the_check(place: Path) -> None:
    """Each line of slurm.conf names its own stub, which writes events to the spool of cc-spool."""
    hooks = install(place, place / "spool")
    config = {
        "PrologSlurmctld": (str(hooks / "prolog_slurmctld"),),
        "EpilogSlurmctld": (str(hooks / "epilog_slurmctld"),),
    }
    found = [*check_hooks(config, place / "spool", STRANGER)]
    assert [CheckStatus.OK, CheckStatus.OK] == [result.status for result in found]
    assert f"{hooks}/prolog_slurmctld writes events to {place}/spool" == found[0].text


def test_an_unchanged_stub_writes_to_the_default_spool() -> None:
    """The unchanged stub sets no spool directory; critical if cc-spool reads another spool."""
    stub = HOOKS / "prolog_slurmctld"
    assert CheckStatus.OK is prolog([stub], user=None).status
    other = prolog([stub], Path("/srv/spool"), user=None)
    assert CheckStatus.CRITICAL is other.status
    assert f"{stub} writes events to {DEFAULT_SPOOL}, but cc-spool reads /srv/spool" == other.text


def test_a_missing_hook_line_is_critical() -> None:
    """Without the two hook lines in slurm.conf only the sweep would report jobs."""
    found = [*check_hooks({"PrologSlurmctld": ()}, DEFAULT_SPOOL, None)]
    assert [CheckStatus.CRITICAL, CheckStatus.CRITICAL] == [result.status for result in found]
    assert "add EpilogSlurmctld=" in found[1].hint
    assert "epilog_slurmctld" in found[1].hint


def test_swapped_hook_lines_are_critical(place: Path) -> None:
    """With the stub of the epilog, PrologSlurmctld would write stop events."""
    found = prolog([install(place) / "epilog_slurmctld"])
    assert (CheckStatus.CRITICAL, True) == (
        found.status,
        "is the stub of the other hook" in found.text,
    )


def test_the_stub_beside_another_prolog_passes_the_check(place: Path) -> None:
    """Slurm 24.05 and later accept several PrologSlurmctld lines."""
    (place / "site").write_text("#!/bin/sh\n")
    hooks = install(place)
    assert CheckStatus.OK is prolog([place / "site", hooks / "prolog_slurmctld"]).status


def test_a_site_script_that_calls_the_stub_gives_a_warning(place: Path) -> None:
    """The result is critical if SlurmUser cannot execute the stub that the script calls."""
    stub = install(place) / "prolog_slurmctld"
    site = place / "site"
    site.write_text(f"#!/bin/sh\n# {stub}.old\n/usr/bin/logger x; {stub} || true\n")
    found = prolog([site])
    assert CheckStatus.WARNING is found.status
    assert found.text.endswith(f"called by {site}")
    stub.chmod(0o600)
    assert CheckStatus.CRITICAL is prolog([site]).status


def test_a_script_that_does_not_call_the_hook_is_critical(place: Path) -> None:
    """The site's script of PrologSlurmctld calls a stub at a path that does not exist."""
    site = place / "site"
    site.write_text("#!/bin/sh\n/etc/none/prolog_slurmctld\n")
    found = prolog([site])
    assert (CheckStatus.CRITICAL, True) == (
        found.status,
        "does not call the hook of cc-slurm-sync" in found.text,
    )


def test_a_hook_script_that_cannot_be_read_is_unknown(place: Path) -> None:
    """The script can be on another host, or the user that runs the check cannot read it."""
    assert CheckStatus.UNKNOWN is prolog([place / "none"]).status


@pytest.mark.parametrize("name", ["prolog_slurmctld", "spool_event"])
def test_slurm_user_must_have_access_to_the_stub_and_its_library(place: Path, name: str) -> None:
    """Without the stub slurmctld does not start; without spool_event no event is written."""
    hooks = install(place)
    (hooks / name).chmod(0o600)
    found = prolog([hooks / "prolog_slurmctld"])
    assert (CheckStatus.CRITICAL, True) == (found.status, name in found.text)


def test_the_path_of_spool_event_in_the_stub_is_checked(place: Path) -> None:
    """This path takes precedence over the stub's own directory."""
    stub = install(place) / "prolog_slurmctld"
    stub.write_text(f"cc_slurm_sync_kind=start\ncc_slurm_sync_event={place}/none/spool_event\n")
    assert "none" in prolog([stub]).text


def install_second(hooks: Path, spool: Path) -> Path:
    """Copy the prolog's stub for an instance `test`, as docs/several-servers.md says."""
    copy = hooks / "prolog_slurmctld-test"
    text = (hooks / "prolog_slurmctld").read_text()
    copy.write_text(
        text.replace(f"CC_SLURM_SYNC_SPOOL={DEFAULT_SPOOL}", f"CC_SLURM_SYNC_SPOOL={spool}")
    )
    copy.chmod(0o755)
    return copy


def test_each_of_two_instances_finds_its_own_stub(place: Path) -> None:
    """slurm.conf has one PrologSlurmctld line for each instance (Slurm 24.05 and later)."""
    hooks, spool = install(place), place / "test-spool"
    paths = [hooks / "prolog_slurmctld", install_second(hooks, spool)]

    found = [prolog(paths, each) for each in (DEFAULT_SPOOL, spool)]

    assert [
        f"{paths[0]} writes events to {DEFAULT_SPOOL}",
        f"{paths[1]} writes events to {spool}",
    ] == [result.text for result in found]


def test_a_script_that_calls_both_stubs_works_for_both_instances(place: Path) -> None:
    """The name of the second instance's stub has a suffix: `prolog_slurmctld-test`."""
    hooks, spool, site = install(place), place / "test-spool", place / "site"
    second = install_second(hooks, spool)
    site.write_text(f"#!/bin/sh\n{hooks}/prolog_slurmctld\n{second}\nexit 0\n")

    assert f"{second} writes events to {spool}, called by {site}" == prolog([site], spool).text


def test_a_hook_line_with_the_stub_of_another_instance_is_critical(place: Path) -> None:
    """The hint says to let slurmctld call a second stub, of this instance, too."""
    found = prolog([install(place) / "prolog_slurmctld"], place / "test-spool")

    assert CheckStatus.CRITICAL is found.status
    assert "belongs to another instance of cc-slurm-sync, let slurmctld also call" in found.hint

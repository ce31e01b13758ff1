"""Hooks exit with 0 and print nothing, whatever happens, and are one process."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
from hook_process import ENVIRONMENT, HOOKS, SHELLS, events, installed_shell, run_hook, was_harmless


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Make an empty spool and return its path."""
    (tmp_path / "spool" / "new").mkdir(parents=True)
    return tmp_path / "spool"


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> list[str]:
    """Return the command of one shell that `/bin/sh` may be."""
    return installed_shell(request.param)


def test_signals_do_not_end_a_hook(shell: list[str], spool: Path, tmp_path: Path) -> None:
    """A killed prolog counts as failed, and Slurm would requeue its job."""
    stub = tmp_path / "prolog_slurmctld"
    shutil.copy(HOOKS / "prolog_slurmctld", stub)
    killed = "".join(f"kill -{name} $$\n" for name in ("HUP", "INT", "PIPE", "TERM", "XFSZ"))
    whole = (HOOKS / "spool_event").read_text()
    (tmp_path / "spool_event").write_text(whole.replace("extras=\n", f"extras=\n{killed}", 1))

    assert was_harmless(run_hook(shell, spool, stub=stub))
    assert ["1-start-4711-0-0"] == events(spool)


def test_hook_is_silent_if_new_is_no_directory(shell: list[str], tmp_path: Path) -> None:
    """A file is in the place of `new/`: the hook exits with 0 and prints nothing."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "new").touch()

    assert was_harmless(run_hook(shell, tmp_path / "spool"))


def test_hook_is_silent_without_a_spool(shell: list[str], tmp_path: Path) -> None:
    """The spool does not exist: the hook exits with 0 and prints nothing, so the job continues."""
    assert was_harmless(run_hook(shell, tmp_path / "absent"))


def test_a_file_size_limit_of_0_prevents_no_event(shell: list[str], spool: Path) -> None:
    """The hook creates the file although it cannot write to it; the name alone is the event."""
    done = subprocess.run(
        [*shell, str(HOOKS / "prolog_slurmctld")],
        env={**ENVIRONMENT, "CC_SLURM_SYNC_SPOOL": str(spool)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        capture_output=True,
        check=False,
    )

    assert was_harmless(done)
    assert events(spool) == ["1-start-4711-0-0"]


def test_closed_descriptors_do_not_change_the_event(shell: list[str], spool: Path) -> None:
    """Slurm 21.08 starts hooks with descriptors 0, 1 and 2 closed; the event is still complete."""
    subprocess.run(
        ["bash", "-c", 'exec 0<&- 1>&- 2>&-; exec "$@"', "-", *shell, HOOKS / "prolog_slurmctld"],
        env={**ENVIRONMENT, "CC_SLURM_SYNC_SPOOL": str(spool)},
        check=True,
    )

    [event] = (spool / "new").iterdir()
    assert event.read_text().endswith("end\n")


@pytest.mark.parametrize(
    "sourced",
    [
        None,
        "if [ 1\n",
        "case $x in\n",
        "foo() {\n",
        ": > /absent/x\n",
        "exec 3</absent\n",
        "exit 3\n",
        "return 5\n",
        "set -e; false\n",
        "set -u; echo $undefined\n",
        "readonly v; v=1\n",
        "trap - EXIT; false\n",
    ],
)
def test_stub_exits_with_0_whatever_it_sources(
    shell: list[str], spool: Path, tmp_path: Path, sourced: str | None
) -> None:
    """A missing, truncated or broken sourced file cannot fail a job."""
    stub = tmp_path / "prolog_slurmctld"
    shutil.copy(HOOKS / "prolog_slurmctld", stub)
    if sourced is not None:
        (tmp_path / "spool_event").write_text(sourced)

    assert was_harmless(run_hook(shell, spool, stub=stub))


def test_stub_exits_with_0_if_the_sourced_file_is_truncated(
    shell: list[str], spool: Path, tmp_path: Path
) -> None:
    """`spool_event` is cut at each multiple of 97 bytes; none of these files fails a job."""
    stub = tmp_path / "prolog_slurmctld"
    shutil.copy(HOOKS / "prolog_slurmctld", stub)
    whole = (HOOKS / "spool_event").read_bytes()
    outcomes = []
    for cut in range(0, len(whole), 97):
        (tmp_path / "spool_event").write_bytes(whole[:cut])
        outcomes.append(was_harmless(run_hook(shell, spool, stub=stub)))

    assert all(outcomes)


def test_unreadable_sourced_file_is_ignored(shell: list[str], spool: Path, tmp_path: Path) -> None:
    """A directory in place of the sourced file cannot fail a job."""
    stub = tmp_path / "prolog_slurmctld"
    shutil.copy(HOOKS / "prolog_slurmctld", stub)
    (tmp_path / "spool_event").mkdir()

    assert was_harmless(run_hook(shell, spool, stub=stub))


def test_hook_is_one_process(shell: list[str], spool: Path, tmp_path: Path) -> None:
    """The hook executes one program and never forks."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "strace"
    found = [str(shutil.which(shell[0])), *shell[1:]]
    subprocess.run(
        ["strace", "-f", "-o", log, "-e", "trace=process", *found, HOOKS / "prolog_slurmctld"],
        env={**ENVIRONMENT, "CC_SLURM_SYNC_SPOOL": str(spool)},
        check=True,
    )

    calls = [line.split(None, 1)[1].split("(")[0] for line in log.read_text().splitlines()]
    assert [call for call in calls if call in {"execve", "clone", "clone3", "fork", "vfork"}] == [
        "execve"
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a full file system needs root")
@pytest.mark.parametrize("options", ["size=4k", "nr_inodes=3,size=64k", "ro"])
def test_hook_ignores_full_or_read_only_spool(shell: list[str], spool: Path, options: str) -> None:
    """Without space, inode or write access the hook exits with 0 and prints nothing."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(spool)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no right to mount here")
    try:
        subprocess.run(["mkdir", "-p", spool / "new"], check=False, capture_output=True)
        subprocess.run(f"yes > {spool}/new/fill", shell=True, check=False, capture_output=True)  # noqa: S602 - fixed text
        assert was_harmless(run_hook(shell, spool))
    finally:
        subprocess.run(["umount", spool], check=True)

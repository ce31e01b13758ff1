"""The hooks as slurmctld runs them: a process with a cleared environment."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

HOOKS = Path(__file__).resolve().parent.parent / "hooks"
SHELLS = {"dash": ["dash"], "bash as sh": ["bash", "--posix"], "busybox sh": ["busybox", "sh"]}
ENVIRONMENT = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NODELIST": "n2cn[001-003],n2gpu01",
    "SLURM_JOB_USER": "ada",
    "SLURM_JOB_PARTITION": "cpu",
    "SLURM_CLUSTER_NAME": "lab",
}
TIMES = {"SLURM_JOB_START_TIME": "1767225600", "SLURM_JOB_END_TIME": "1767229200"}


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Make an empty spool."""
    (tmp_path / "spool" / "new").mkdir(parents=True)
    return tmp_path / "spool"


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> list[str]:
    """Name one shell that `/bin/sh` may be."""
    command = SHELLS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return command


def run_hook(
    shell: list[str],
    spool: Path,
    *,
    kind: str = "prolog",
    stub: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a hook and return how it ended and what it printed."""
    script = stub or HOOKS / f"{kind}_slurmctld"
    return subprocess.run(
        [*shell, str(script)],
        env={**ENVIRONMENT, "CC_SLURM_SYNC_SPOOL": str(spool), **(environment or {})},
        capture_output=True,
        timeout=10,
        check=False,
    )


def events(spool: Path) -> list[str]:
    """Return the names of the events without their pid."""
    return sorted(path.name.rpartition("-")[0] for path in (spool / "new").iterdir())


def was_harmless(done: subprocess.CompletedProcess[bytes]) -> bool:
    """Tell whether a hook ended with 0 and printed nothing."""
    return (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_prolog_creates_start_event(shell: list[str], spool: Path) -> None:
    """A prolog leaves one start event; the planned end is no fact and stays out."""
    done = run_hook(shell, spool, environment=TIMES)

    assert was_harmless(done)
    assert events(spool) == ["1-start-4711-1767225600-0"]


def test_epilog_creates_stop_event_with_both_times(shell: list[str], spool: Path) -> None:
    """An epilog of Slurm 23.02 or later names start and end of the run."""
    run_hook(
        shell,
        spool,
        kind="epilog",
        environment=TIMES,
    )

    assert events(spool) == ["1-stop-4711-1767225600-1767229200"]


def test_extras_are_lines_closed_by_end(shell: list[str], spool: Path) -> None:
    """The file holds harmless values, one a line, and ends with the end mark."""
    run_hook(shell, spool)

    [event] = (spool / "new").iterdir()
    assert event.read_text() == (
        "nodes=n2cn[001-003],n2gpu01\ncluster=lab\nuser=ada\npartition=cpu\nend\n"
    )


def test_event_is_readable_by_the_group_alone(shell: list[str], spool: Path) -> None:
    """The drain reads events through the group; others see nothing."""
    run_hook(shell, spool)

    [event] = (spool / "new").iterdir()
    assert event.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "job_id", ["", "-1", "../../x", "0", "007", "1 2", "12x", "123456789012", "1\n2", "*", "$(id)"]
)
def test_bad_job_id_makes_no_event(shell: list[str], spool: Path, job_id: str) -> None:
    """What is no job id creates no file anywhere."""
    done = run_hook(shell, spool, environment={"SLURM_JOB_ID": job_id})

    assert was_harmless(done)
    assert [path.name for path in spool.rglob("*")] == ["new"]


@pytest.mark.parametrize(
    "value", ["n1\nuser=root", "n1 n2", "\x1b[31m", "(null)", "n" * 100_000, "ü"]
)
def test_hostile_node_list_is_left_out(shell: list[str], spool: Path, value: str) -> None:
    """A node list with any other character, or of any absurd length, forges nothing."""
    done = run_hook(shell, spool, environment={"SLURM_JOB_NODELIST": value})

    assert was_harmless(done)
    [event] = (spool / "new").iterdir()
    assert event.read_text() == "cluster=lab\nuser=ada\npartition=cpu\nend\n"


@pytest.mark.parametrize(
    "variable", ["SLURM_JOB_USER", "SLURM_JOB_PARTITION", "SLURM_CLUSTER_NAME"]
)
def test_hostile_word_is_left_out(shell: list[str], spool: Path, variable: str) -> None:
    """A newline in any value adds no line."""
    run_hook(shell, spool, environment={variable: "x\nnodes=all"})

    [event] = (spool / "new").iterdir()
    assert "all" not in event.read_text()


def test_an_event_that_exists_already_stays_as_it_is(
    shell: list[str], spool: Path, tmp_path: Path
) -> None:
    """It says the same; nothing is written over it, nor through a link."""
    stub = tmp_path / "prolog_slurmctld"
    shutil.copy(HOOKS / "prolog_slurmctld", stub)
    same_pid = (HOOKS / "spool_event").read_text().replace("-$$", "-77")
    (tmp_path / "spool_event").write_text(same_pid)
    other = tmp_path / "other"
    other.write_text("other")
    (spool / "new" / "1-start-5-0-0-77").symlink_to(other)
    (spool / "new" / "1-start-4711-0-0-77").write_text("first")

    assert was_harmless(run_hook(shell, spool, stub=stub))
    assert was_harmless(run_hook(shell, spool, stub=stub, environment={"SLURM_JOB_ID": "5"}))
    assert ("first", "other") == (
        (spool / "new" / "1-start-4711-0-0-77").read_text(),
        other.read_text(),
    )


def test_signals_that_would_end_it_do_not(shell: list[str], spool: Path, tmp_path: Path) -> None:
    """A prolog that was killed is a failed one: its job would be requeued."""
    stub = tmp_path / "prolog_slurmctld"
    shutil.copy(HOOKS / "prolog_slurmctld", stub)
    killed = "".join(f"kill -{name} $$\n" for name in ("HUP", "INT", "PIPE", "TERM", "XFSZ"))
    whole = (HOOKS / "spool_event").read_text()
    (tmp_path / "spool_event").write_text(whole.replace("extras=\n", f"extras=\n{killed}", 1))

    assert was_harmless(run_hook(shell, spool, stub=stub))
    assert ["1-start-4711-0-0"] == events(spool)


def test_a_spool_that_is_no_directory_is_silent(shell: list[str], tmp_path: Path) -> None:
    """Whatever lies there instead."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "new").touch()

    assert was_harmless(run_hook(shell, tmp_path / "spool"))


@pytest.mark.parametrize("size", [32_768, 32_769])
def test_a_node_list_has_a_limit(shell: list[str], spool: Path, size: int) -> None:
    """32 kB are written, one more is not."""
    run_hook(shell, spool, environment={"SLURM_JOB_NODELIST": "n" * size})

    [event] = (spool / "new").iterdir()
    assert (size == 32_768) is event.read_text().startswith("nodes=")


def test_missing_spool_is_silent(shell: list[str], tmp_path: Path) -> None:
    """Without a spool the job goes on and nothing is printed."""
    assert was_harmless(run_hook(shell, tmp_path / "absent"))


def test_file_size_limit_leaves_a_whole_event(shell: list[str], spool: Path) -> None:
    """With a file size limit of 0 the name, which is the event, still appears."""
    done = subprocess.run(
        [*shell, str(HOOKS / "prolog_slurmctld")],
        env={**ENVIRONMENT, "CC_SLURM_SYNC_SPOOL": str(spool)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        capture_output=True,
        check=False,
    )

    assert was_harmless(done)
    assert events(spool) == ["1-start-4711-0-0"]


def test_closed_descriptors_do_no_harm(shell: list[str], spool: Path) -> None:
    """Slurm 21.08 starts hooks with 0, 1 and 2 closed; the event still has its contents."""
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
def test_stub_ends_with_0_whatever_it_sources(
    shell: list[str], spool: Path, tmp_path: Path, sourced: str | None
) -> None:
    """A missing, cut or broken sourced file cannot fail a job."""
    stub = tmp_path / "prolog_slurmctld"
    shutil.copy(HOOKS / "prolog_slurmctld", stub)
    if sourced is not None:
        (tmp_path / "spool_event").write_text(sourced)

    assert was_harmless(run_hook(shell, spool, stub=stub))


def test_stub_ends_with_0_at_every_cut_of_the_sourced_file(
    shell: list[str], spool: Path, tmp_path: Path
) -> None:
    """A sourced file cut anywhere cannot fail a job."""
    stub = tmp_path / "prolog_slurmctld"
    shutil.copy(HOOKS / "prolog_slurmctld", stub)
    whole = (HOOKS / "spool_event").read_bytes()
    outcomes = []
    for cut in range(0, len(whole), 97):
        (tmp_path / "spool_event").write_bytes(whole[:cut])
        outcomes.append(was_harmless(run_hook(shell, spool, stub=stub)))

    assert all(outcomes)


def test_unreadable_sourced_file_is_passed_over(
    shell: list[str], spool: Path, tmp_path: Path
) -> None:
    """A directory in place of the sourced file does no harm."""
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
def test_full_or_read_only_spool_is_silent(shell: list[str], spool: Path, options: str) -> None:
    """No space, no inode, or no right to write: the job goes on and nothing is printed."""
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

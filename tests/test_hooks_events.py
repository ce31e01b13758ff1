"""The events that hooks write: name, contents, mode, and what is omitted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hook_process import HOOKS, SHELLS, events, installed_shell, run_hook, was_harmless

TIMES = {"SLURM_JOB_START_TIME": "1767225600", "SLURM_JOB_END_TIME": "1767229200"}


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Make an empty spool and return its path."""
    (tmp_path / "spool" / "new").mkdir(parents=True)
    return tmp_path / "spool"


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> list[str]:
    """Return the command of one shell that `/bin/sh` may be."""
    return installed_shell(request.param)


def test_prolog_creates_start_event(shell: list[str], spool: Path) -> None:
    """A prolog leaves one start event; it omits the planned end, which may change."""
    done = run_hook(shell, spool, environment=TIMES)

    assert was_harmless(done)
    assert events(spool) == ["1-start-4711-1767225600-0"]


def test_epilog_creates_stop_event_with_both_times(shell: list[str], spool: Path) -> None:
    """Epilogs of Slurm 23.02 and later have the start and the end of the run."""
    run_hook(
        shell,
        spool,
        kind="epilog",
        environment=TIMES,
    )

    assert events(spool) == ["1-stop-4711-1767225600-1767229200"]


def test_an_event_has_one_value_per_line_and_ends_with_end(shell: list[str], spool: Path) -> None:
    """The values are nodes, cluster, user and partition; a file without `end` is incomplete."""
    run_hook(shell, spool)

    [event] = (spool / "new").iterdir()
    assert event.read_text() == (
        "nodes=n2cn[001-003],n2gpu01\ncluster=lab\nuser=ada\npartition=cpu\nend\n"
    )


def test_event_is_readable_only_by_owner_and_group(shell: list[str], spool: Path) -> None:
    """The drain reads events as a member of the group; other users cannot read them."""
    run_hook(shell, spool)

    [event] = (spool / "new").iterdir()
    assert event.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "job_id", ["", "-1", "../../x", "0", "007", "1 2", "12x", "123456789012", "1\n2", "*", "$(id)"]
)
def test_bad_job_id_makes_no_event(shell: list[str], spool: Path, job_id: str) -> None:
    """An invalid job id creates no file anywhere."""
    done = run_hook(shell, spool, environment={"SLURM_JOB_ID": job_id})

    assert was_harmless(done)
    assert [path.name for path in spool.rglob("*")] == ["new"]


@pytest.mark.parametrize(
    "value", ["n1\nuser=root", "n1 n2", "\x1b[31m", "(null)", "n" * 100_000, "ü"]
)
def test_hostile_node_list_is_omitted(shell: list[str], spool: Path, value: str) -> None:
    """A node list with an invalid character or 100000 characters is not written to the event."""
    done = run_hook(shell, spool, environment={"SLURM_JOB_NODELIST": value})

    assert was_harmless(done)
    [event] = (spool / "new").iterdir()
    assert event.read_text() == "cluster=lab\nuser=ada\npartition=cpu\nend\n"


@pytest.mark.parametrize(
    "variable", ["SLURM_JOB_USER", "SLURM_JOB_PARTITION", "SLURM_CLUSTER_NAME"]
)
def test_a_value_with_a_newline_is_omitted(shell: list[str], spool: Path, variable: str) -> None:
    """A newline in user, partition or cluster cannot add a line such as nodes=all to the event."""
    run_hook(shell, spool, environment={variable: "x\nnodes=all"})

    [event] = (spool / "new").iterdir()
    assert "all" not in event.read_text()


def test_a_hook_does_not_overwrite_an_existing_event(
    shell: list[str], spool: Path, tmp_path: Path
) -> None:
    """A file or a symlink has the name of the event already: file and link target do not change."""
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


@pytest.mark.parametrize("size", [32_768, 32_769])
def test_a_node_list_over_32_kb_is_omitted(shell: list[str], spool: Path, size: int) -> None:
    """A node list of 32768 bytes is written to the event; one with a byte more is omitted."""
    run_hook(shell, spool, environment={"SLURM_JOB_NODELIST": "n" * size})

    [event] = (spool / "new").iterdir()
    assert (size == 32_768) is event.read_text().startswith("nodes=")

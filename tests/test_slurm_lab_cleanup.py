"""The lab leaves no process, mount or file behind, and reports why it failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_lab import Lab, LabError, Settings, require_slurm, wait_until

FOR_EVER = "sleep 600"


def leftovers(root: Path) -> list[str]:
    """Return everything that is left of a lab: processes, mounts, files."""
    lines = [line for line in Path("/proc/mounts").read_text().splitlines() if str(root) in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "mounts").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        if str(root).encode() in words and process.name != str(os.getpid()):
            lines.append(process.name)
    return lines + [str(root)] * root.exists()


@pytest.mark.slurm
def test_a_failed_test_leaves_no_process_mount_or_file() -> None:
    """If a test fails while a job runs, all processes, mounts and files of its lab are removed."""
    require_slurm()
    lab = Lab(Settings(accounting=False))
    before: list[str] = []

    def fails() -> None:
        lab.jobs.sbatch(script=FOR_EVER)
        before.extend(leftovers(lab.root))
        lab.run("false")

    with pytest.raises(LabError, match="ended with 1"), lab:
        fails()
    assert len(before) > 10
    assert leftovers(lab.root) == []


@pytest.mark.slurm
def test_daemon_that_does_not_start_is_reported() -> None:
    """With a wrong slurm.conf the error has slurmctld's message; no process or file is left."""
    require_slurm()
    lab = Lab(Settings(accounting=False, options={"SlurmctldPort": "none"}))

    with pytest.raises(LabError, match="SlurmctldPort"), lab:
        pass
    assert leftovers(lab.root) == []


@pytest.mark.slurm
def test_a_killed_test_process_leaves_no_process_mount_or_file() -> None:
    """After SIGKILL of the tests, all processes, mounts and files of the lab are removed."""
    require_slurm()
    program = (
        "from slurm_lab import Lab, Settings\n"
        "with Lab(Settings(accounting=False)) as lab:\n"
        "    print(lab.root, flush=True); input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent / "support")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        root = Path(child.stdout.readline().strip())
        before = leftovers(root)
        child.send_signal(signal.SIGKILL)

    assert len(before) > 10
    wait_until(lambda: not leftovers(root), "everything to be gone")


def test_wait_until_has_a_time_limit() -> None:
    """The error of `wait_until` names the event that did not happen in time."""
    with pytest.raises(LabError, match="0 s in vain for rain"):
        wait_until(lambda: False, "rain", timeout=0)

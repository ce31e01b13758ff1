"""Hooks that the stand-in for Slurm starts get the environment and open files of each release."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_slurm import (
    SERIES,
    Situation,
    hook_calls,
    text_records,
)
from standin_recordings import standin_job
from standin_slurm.controller import Controller
from standin_slurm.environment import environment


@pytest.fixture(params=SERIES)
def series(request: pytest.FixtureRequest) -> str:
    """Return each release."""
    return str(request.param)


# set only for the array's head or the het job's leader
NOT_ALWAYS = {"SLURM_HET_JOB_NODELIST", "SLURM_PACK_JOB_NODELIST"}
# an epilog has the real end, a running job the planned one
VARYING = {"SLURM_JOB_END_TIME"}


@pytest.mark.parametrize("name", ["lifecycle", "array-running-pending", "het-job", "gpu-two-nodes"])
def test_hooks_get_the_variables_of_the_release(series: str, name: str) -> None:
    """A hook's environment has the recorded names, and the recorded values where a job has them."""
    differences: list[tuple[object, ...]] = []
    calls = [*hook_calls(Situation(series, name))]
    for hook, job_id, theirs in calls:
        moment = "2-running" if name == "lifecycle" else ""
        texts = text_records(Situation(series, name).file("scontrol", moment, "txt") or b"")
        if job_id not in texts or "\n     Nodes=" not in texts[job_id]:
            continue
        own = environment(series, standin_job(texts[job_id]), hook)
        names = ({*theirs} ^ {*own}) - NOT_ALWAYS
        differences += [(hook, job_id, "names", names)] if names else []
        differences += [
            (hook, job_id, k, theirs[k], own[k])
            for k in theirs.keys() & own.keys() - VARYING
            if theirs[k] != own[k]
        ]

    assert len(calls) >= 2
    assert [] == differences


def test_the_hook_works_with_closed_standard_streams_as_in_21_08(tmp_path: Path) -> None:
    """A file that the hook opens can get fd 0, 1 or 2; the hook still writes a complete event."""
    spool = tmp_path / "spool"
    (spool / "new").mkdir(parents=True)
    controller = Controller(tmp_path / "slurm", "21.08", spool=spool)
    job = controller.start({"n2cn001": [0]})

    (event,) = (spool / "new").iterdir()
    assert [("prolog", job)] == controller.hooks_run
    assert event.read_text().endswith("end\n")

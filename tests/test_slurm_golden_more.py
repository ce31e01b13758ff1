"""Facts of hooks and of other parsers of the recorded releases, against the records."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_slurm import differences, hook_jobs, is_same_run, sights_of, unexplained
from recorded_slurm import SERIES, Situation, json_jobs, sacct_runs, situations, text_jobs

from slurm.decode.scontrol_job import UntrustedTextError
from slurm.job import Job, Sharing


@pytest.mark.parametrize("situation", situations(), ids=str)
def test_hooks_agree_with_the_controller(situation: Situation, tmp_path: Path) -> None:
    """The hook, called with the recorded environment, writes facts that agree with the records."""
    seen = [sight.job() for sight in sights_of(situation)]
    for job in hook_jobs(situation, tmp_path):
        records = [record for record in seen if is_same_run(job, record)]
        found = [text for record in records for text in differences(job, record)]
        assert [] == unexplained(situation, "", "hook", found)


PARSERS = [
    (situation, name)
    for situation in situations()
    if situation.name == "data-parsers"
    for name in sorted(situation.files)
    if name.endswith(".json")
]


@pytest.mark.parametrize(("situation", "name"), PARSERS, ids=str)
def test_each_json_version_gives_the_same_job(situation: Situation, name: str) -> None:
    """Every JSON version of a release, `+complex` and `+fast` too, gives the same job."""
    document = situation.files[name]
    reads = json_jobs if name.startswith("squeue") else runs_by_id
    kind = name.partition("-")[0]
    oldest = min(other for other in situation.files if other.startswith(f"{kind}-v"))
    (job,), (first,) = reads(document).values(), reads(situation.files[oldest]).values()

    assert [] == differences(job, first)
    assert held(job) == held(first)
    assert job.sharing in {Sharing.SHARED, None}


def held(job: Job) -> list[object]:
    """Return what a job has on each node; CPUs are listed only from v0.0.41 on."""
    return [(node.name, node.cores, node.core_count, node.gres) for node in job.allocations]


def runs_by_id(document: bytes) -> dict[int, Job]:
    """Return the runs of sacct by job id."""
    return {run.job_id: run for run in sacct_runs(document)}


@pytest.mark.parametrize("series", SERIES)
def test_text_with_a_line_break_in_the_job_name_is_refused(series: str) -> None:
    """A job name with a line break could forge fields: the text gives UntrustedTextError."""
    (found,) = text_jobs(Situation(series, "special-chars"), "").values()

    assert isinstance(found, UntrustedTextError)

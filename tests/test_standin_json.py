"""The JSON of the stand-in for Slurm has the keys, values and shapes of each release."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recorded_slurm import (
    SERIES,
    json_jobs,
    text_records,
)
from standin_recordings import ENDED, RUNNING, Printer, reported, standin_job
from standin_slurm.records import values_of

# what the stand-in does not know: when a held job was released, whether there is a script, and how
# many seconds after its start a job was launched, from which its planned end counts
NOT_REPORTED = {"eligible_time", "batch_flag"}
PLANNED = {"end_time"}


@pytest.fixture(params=SERIES)
def series(request: pytest.FixtureRequest) -> str:
    """Return each release."""
    return str(request.param)


@pytest.fixture
def printer(
    series: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Printer:
    """Return the commands of a release without jobs."""
    monkeypatch.setenv("SLURM_TIME_FORMAT", "%s")
    return Printer(tmp_path, series, capsys)


def shape(value: Any) -> Any:
    """Return the types of a JSON value, whatever the numbers of members."""
    if isinstance(value, dict):
        return {key: shape(member) for key, member in value.items()}
    if isinstance(value, list):
        return ["list"] + ([shape(value[0])] if value else [])
    return type(value).__name__


def json_pairs(
    printer: Printer, series: str, moments: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield the recorded and the printed record of every job whose JSON was recorded."""
    for situation, moment, job_id in reported(series, moments):
        recorded = situation.file("squeue-all", moment, "json")
        recorded = recorded or situation.file("squeue", moment, "json")
        records = json.loads(recorded)["jobs"] if recorded else []
        theirs = [record for record in records if record["job_id"] == job_id]
        if theirs:
            text = text_records(situation.file("scontrol", moment, "txt") or b"")[job_id]
            printer.controller.put(standin_job(text))
            ours = json.loads(printer("squeue", "-a", "-t", "all", "--json"))["jobs"]
            (own,) = (record for record in ours if record["job_id"] == job_id)
            yield f"{situation}-{moment}", theirs[0], own


@pytest.mark.parametrize("moments", [RUNNING, ENDED], ids=["running", "ended"])
def test_json_has_the_keys_and_values_of_the_release(
    printer: Printer, series: str, moments: tuple[tuple[str, str], ...]
) -> None:
    """The keys, their order and each value that the stand-in has for the job are as recorded."""
    differences = []
    pairs = [*json_pairs(printer, series, moments)]
    for where, theirs, own in pairs:
        keys = {*values_of(printer.controller.job(own["job_id"])), "job_state", "shared"}
        keys = (keys | {"exit_code"}) & theirs.keys() - NOT_REPORTED
        keys -= PLANNED if moments is RUNNING else set()
        for record in (theirs, own):
            record["tres_alloc_str"] = re.sub(r"mem=\d+M", "mem", record["tres_alloc_str"])
        differences += [(where, k, theirs[k], own[k]) for k in keys if theirs[k] != own[k]]
        differences += [(where, "keys", [*theirs], [*own])] if [*theirs] != [*own] else []

    assert [] == differences
    assert len(pairs) >= 4


@pytest.mark.parametrize("moments", [RUNNING, ENDED], ids=["running", "ended"])
def test_allocations_have_the_shape_of_the_release(
    printer: Printer, series: str, moments: tuple[tuple[str, str], ...]
) -> None:
    """Allocated cores are written as the release does, and our decoder reads both alike."""
    pairs = [*json_pairs(printer, series, moments)]
    decoded = [
        json_jobs(
            json.dumps({"meta": {}, "errors": [], "jobs": [theirs, {**own, "job_id": 1}]}).encode()
        )
        for _, theirs, own in pairs
    ]

    assert [shape(theirs["job_resources"]) for _, theirs, _ in pairs] == [
        shape(own["job_resources"]) for _, _, own in pairs
    ]
    assert [
        jobs[theirs["job_id"]].allocations
        for jobs, (_, theirs, _) in zip(decoded, pairs, strict=True)
    ] == [jobs[1].allocations for jobs in decoded]

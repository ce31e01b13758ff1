"""Every recorded situation of nine releases decodes to the expected facts, from each source.

A situation is one scenario of one series. All sources of a moment must agree, and their common
answer must be that of `data/slurm-expected.txt`. `EXPLAINED` lists each difference and its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from golden_slurm import (
    EXPLAINED,
    FIELDS,
    RECORDED,
    accounting,
    controller,
    describe,
    differences,
    hook_jobs,
    is_same_run,
    shared_runs,
    sights_of,
    unexplained,
)
from recorded_slurm import Situation, situations

from slurm.job import Job

EXPECTED = Path(__file__).parent / "data" / "slurm-expected.txt"
LEEWAY = 3.0
NEW_SUBMIT_TIMES = frozenset({"resized", "node-fail-requeue", "preempted-requeued"})
COMMAND = re.compile(
    r"^\[(\d+\.\d+) \w+@ctl01\] sbatch .*?^    Submitted batch job (\d+)", re.MULTILINE | re.DOTALL
)
HOOK = re.compile(r"^(Prolog|Epilog)Slurmctld for job (\d+), call \d, at (\d+\.\d+)", re.MULTILINE)


@cache
def expected() -> dict[tuple[str, str], dict[str, list[tuple[frozenset[str], str]]]]:
    """Return the lines by scenario and moment, then index: series (none: all others) and text."""
    found: dict[tuple[str, str], dict[str, list[tuple[frozenset[str], str]]]] = {}
    for line in EXPECTED.read_text().splitlines():
        if line.startswith("#"):
            continue
        if not line.startswith(" "):
            name, _, moment = line.partition(" ")
            entries = found.setdefault((name, moment), {})
            continue
        index, rest = line.split(None, 1)
        deviation = re.fullmatch(r"@([\d.,]+) \([^()]+\)  (.*)", rest)
        series = frozenset(deviation[1].split(",")) if deviation else frozenset()
        entries.setdefault(index, []).append((series, deviation[2] if deviation else rest))
    return found


def expected_lines(situation: Situation, moment: str) -> dict[str, str]:
    """Return the lines expected of one series, by index."""
    lines = {}
    for index, variants in expected()[situation.name, moment].items():
        own = [text for series, text in variants if situation.series in series]
        common = [text for series, text in variants if not series]
        text = (own or common)[0]
        if text != "absent":
            lines[index] = text
    return lines


@pytest.mark.parametrize("situation", RECORDED, ids=str)
def test_text_and_json_give_the_same_facts(situation: Situation) -> None:
    """Text and JSON agree on each job (squeue and scontrol) and on each run (sacct)."""
    for moment in situation.moments():
        for kind, sights in (
            ("controller", controller(situation, moment)),
            ("run", accounting(situation, moment)),
        ):
            for sight in sights.values():
                assert [] == unexplained(situation, moment, kind, sight.disagreements())


@pytest.mark.parametrize("situation", RECORDED, ids=str)
def test_controller_and_accounting_agree(situation: Situation) -> None:
    """Controller and accounting give the same values of a run, but for EXPLAINED differences."""
    for moment in situation.moments():
        for record, row in shared_runs(situation, moment):
            assert [] == unexplained(situation, moment, "both", differences(record, row))


@pytest.mark.parametrize("situation", RECORDED, ids=str)
def test_recorded_jobs_decode_to_the_expected_facts(situation: Situation) -> None:
    """State, CPUs, nodes, cores, GRES and more are as in slurm-expected.txt, checked by hand."""
    for moment in situation.moments():
        jobs = sorted(controller(situation, moment).items())
        runs = sorted(accounting(situation, moment).items())
        actual = {str(place): describe(sight.job()) for place, (_, sight) in enumerate(jobs)}
        actual |= {f"run{place}": describe(sight.job()) for place, (_, sight) in enumerate(runs)}
        assert expected_lines(situation, moment) == actual


@pytest.mark.parametrize("situation", RECORDED, ids=str)
def test_recorded_times_match_commands_and_hooks(situation: Situation) -> None:
    """Submit, start and end times are within 3 s of sbatch and of the calls of the hooks."""
    assert [] == unexplained_times(situation)


def unexplained_times(situation: Situation) -> list[str]:
    """Return the times that no command and no hook of that time explains."""
    commands = situation.files["commands.txt"].decode()
    submitted = [(job, time) for time, job in COMMAND.findall(commands)]
    started = [(job, time) for kind, job, time in HOOK.findall(commands) if kind == "Prolog"]
    ended = [(job, time) for kind, job, time in HOOK.findall(commands) if kind == "Epilog"]
    found = []
    for sight in sights_of(situation):
        job = sight.job()
        if situation.name not in NEW_SUBMIT_TIMES:
            found += strange(job, "submit_time", submitted)
        if job.nodes:
            found += strange(job, "start_time", started)
        if job.nodes and job.state != "RESIZING":
            found += strange(job, "end_time", ended)
    return found


def strange(job: Job, field: str, known: list[tuple[str, str]]) -> list[str]:
    """Return a time of a job, with its field, if it is near none of the known times."""
    times = [float(time) for job_id, time in known if int(job_id) == job.job_id]
    value = getattr(job, field)
    if value is None or not times or min(abs(value - time) for time in times) < LEEWAY:
        return []
    return [f"{job.job_id} {field}: {value}, known are {times}"]


def test_no_recorded_situation_is_omitted(capsys: pytest.CaptureFixture[str]) -> None:
    """The recording has all 413 situations; all but three special kinds have expected facts."""
    sights = [sight for situation in situations() for sight in sights_of(situation)]
    compared = sum(sight.compared() for sight in sights)
    pairs = [pair for s in RECORDED for moment in s.moments() for pair in shared_runs(s, moment)]
    compared += sum(len(FIELDS) - len(unknown_fields(*pair)) for pair in pairs)
    lines = sum(len(expected_lines(s, moment)) for s in RECORDED for moment in s.moments())
    words = sum(
        len(text.split())
        for s in RECORDED
        for moment in s.moments()
        for text in expected_lines(s, moment).values()
    )
    with capsys.disabled():
        print(
            f"\n{len(situations())} situations, {compared} values of two sources compared, "
            f"{lines} jobs and runs ({words} facts) against expectations; "
            f"{len(EXPLAINED)} kinds of differences explained, others: 0"
        )

    assert 413 == len(situations())
    elsewhere = {situation.name for situation in situations()} - {s.name for s in RECORDED}
    assert {"cluster", "data-parsers", "squeue-filters"} == elsewhere
    assert {(s.name, moment) for s in RECORDED for moment in s.moments()} == set(expected())


def unknown_fields(one: Job, other: Job) -> list[str]:
    """Return the fields that are unknown in one of two jobs."""
    unknown: tuple[object, ...] = (None, ())
    return [f for f in FIELDS if getattr(one, f) in unknown or getattr(other, f) in unknown]


@pytest.mark.parametrize("row", EXPLAINED, ids=lambda row: f"{row[0]}-{row[2]}")
def test_every_explained_difference_exists(
    row: tuple[str, str, str, str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each entry of EXPLAINED matches a recorded difference; otherwise it must be removed."""
    pattern, _, where, names, reason = row
    found: list[str] = []
    for situation in RECORDED:
        if re.fullmatch(pattern, str(situation)):
            spool = tmp_path_factory.mktemp("spool") if where == "hook" else None
            found += all_differences(situation, where, spool)

    assert reason
    assert any(re.fullmatch(names, text.partition(":")[0]) for text in found)


def all_differences(situation: Situation, where: str, spool: Path | None) -> Iterator[str]:
    """Yield every difference of one kind in a situation, explained or not."""
    seen = [sight.job() for sight in sights_of(situation)]
    if spool is not None:
        for job in hook_jobs(situation, spool):
            for record in seen:
                yield from differences(job, record) if is_same_run(job, record) else ()
        return
    for moment in situation.moments():
        if where == "run":
            for sight in accounting(situation, moment).values():
                yield from sight.disagreements()
        for pair in shared_runs(situation, moment) if where == "both" else ():
            yield from differences(*pair)

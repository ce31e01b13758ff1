"""The chaos harness itself: it reports no problem without a fault, and every wrong row."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos import oracle
from chaos.harness import World
from chaos.slurm import NEW, OLD


@pytest.mark.parametrize("release", [OLD, NEW])
@pytest.mark.parametrize("version", ["1.4.4", "1.5.4"])
def test_the_chaos_harness_reports_no_problem_at_a_healthy_site(
    tmp_path: Path, version: str, release: str
) -> None:
    """Starts and ends of jobs of all shapes arrive with all facts, for each pair of releases."""
    with World(tmp_path / "world", version=version, release=release) as world:
        world.start_drain()
        runs = world.several(12)
        assert world.wait_delivered(runs, 20) is not None
        for run in runs[:8]:
            world.end(run, world.shapes.end_state())

        verdict = oracle.settle(world, 20)

    assert not verdict, str(verdict)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user", "nobody"),
        ("numNodes", 9),
        ("walltime", 1),
        ("shared", "none"),
        ("resources", []),
        ("metaData", {}),
    ],
)
def test_the_chaos_harness_reports_a_wrong_value(tmp_path: Path, field: str, value: object) -> None:
    """The harness compares every value of a row at cc-backend with Slurm's value."""
    with World(tmp_path / "world") as world:
        run = world.begin(sharing="ok")
        document = run.facts(is_old=False) | {"resources": run.resources()}
        document["metaData"] = {"jobName": run.name, "jobScript": run.script}
        world.backend.rules.start(document)
        world.backend.rules.rows[0].document[field] = value

        verdict = oracle.judge(world, is_quiet=False)

    assert verdict


def test_the_chaos_harness_reports_a_lost_run(tmp_path: Path) -> None:
    """A run that the server does not have is reported as lost."""
    with World(tmp_path / "world") as world:
        run = world.begin()

        assert f"job {run.job_id} ({run.start}): lost" in oracle.judge(world)

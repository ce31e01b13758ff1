"""The summary of a run's end: sent just before the stop, to servers that accept it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drain_world import NOON, World

from ccbackend.metadata import MetadataPolicy
from ccbackend.version import Version
from spool.drain.final_texts import FINAL_WAIT_SECONDS

FIRST = (
    "JobId=7 JobName=x\n   JobState=RUNNING Reason=None\n   Restarts=0 ExitCode=0:0\n"
    "   RunTime=00:00:01 TimeLimit=01:00:00\n   StartTime=S EndTime=E Deadline=N/A\n"
)
LAST = "JobId=7 JobName=x\n   JobState=FAILED Reason=NonZeroExitCode\n"


def world_of(
    root: Path, *, wanted: bool = True, version: tuple[int, int, int] = (1, 5, 4)
) -> World:
    """Return a site whose policy turns summaries on or off."""
    world = World(root)
    world.backend.version = Version(*version)
    world.composer.metadata = MetadataPolicy(end_summary=wanted)
    return world


def finish(world: World, state: str = "FAILED", *, extras: str = "", **facts: Any) -> list[str]:
    """Make a job run and end; return the calls about it."""
    world.begin(7, **facts)
    world.run(2)
    world.now += 600
    end(world, state, extras)
    world.run(300)
    return [call for call, job_id in world.backend.asked if job_id == 7]


def end(world: World, state: str, extras: str) -> None:
    """End the job in Slurm and run its epilog."""
    over = replace(world.slurm.records[7], state=state, end_time=int(world.now))
    world.slurm.records[7] = over
    world.slurm.rows.append(over)
    world.hook("stop", 7, extras=extras)


def edits(world: World) -> dict[str, Any]:
    """Return the values that were changed."""
    bodies = [each for each in world.backend.documents if "payload" in each]
    return {body["payload"]["key"]: body["payload"]["value"] for body in bodies}


def summary(world: World) -> Any:
    """Return the one value that was changed."""
    (found,) = edits(world).items()
    assert "endSummary" == found[0]
    return found[1]


def test_the_end_summary_is_sent_before_the_stop(tmp_path: Path) -> None:
    """The summary has the state, the epilog's exit code and the number of requeues."""
    world = world_of(tmp_path)
    calls = finish(world, extras="exit_code=1:0\n", restart_count=2)

    assert ["start", "edit_meta", "stop"] == calls
    assert "FAILED, exit code 1:0, requeued 2 times" == summary(world)


@pytest.mark.parametrize("how", [{"wanted": False}, {"version": (1, 4, 4)}])
def test_no_summary_is_sent_where_it_is_off_or_not_supported(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    """The site has turned end summaries off, or cc-backend is older than 1.5."""
    assert ["start", "stop"] == finish(world_of(tmp_path, **how))


def test_the_exit_code_of_an_interrupted_run_is_not_sent(tmp_path: Path) -> None:
    """After NODE_FAIL Slurm gives exit code 0, so the end summary has only the state."""
    world = world_of(tmp_path)
    finish(world, "NODE_FAIL", extras="exit_code=0:0\n")

    assert "NODE_FAIL" == summary(world)


def test_a_run_that_ended_before_its_start_was_read_has_its_exit_code(tmp_path: Path) -> None:
    """The drain reads start and stop together; the end summary has the epilog's exit code."""
    world = world_of(tmp_path)
    world.begin(7)
    world.now += 5
    end(world, "TIMEOUT", "exit_code=0:15\n")
    world.run(300)

    assert "TIMEOUT, exit code 0:15" == summary(world)


# the description


def described(root: Path, **how: Any) -> World:
    """Return a site whose job has a description while it runs."""
    world = world_of(root, **how)
    world.texts[7] = ("#!/bin/sh\n", FIRST)
    return world


def test_the_final_description_is_sent_before_the_stop(tmp_path: Path) -> None:
    """Slurm's description of the ended job and the end summary are sent as two changes."""
    world = described(tmp_path)
    world.final_texts[7] = LAST
    calls = finish(world)

    assert ["start", "edit_meta", "edit_meta", "stop"] == calls
    assert {"endSummary": "FAILED", "slurmInfo": LAST} == edits(world)


def test_the_first_description_is_updated_if_slurm_does_not_answer(tmp_path: Path) -> None:
    """State, exit code, run time and end time of the stop replace those of the start."""
    world = described(tmp_path)
    finish(world, "TIMEOUT", extras="exit_code=0:15\n")
    text = edits(world)["slurmInfo"]

    assert "   JobState=TIMEOUT Reason=None\n   Restarts=0 ExitCode=0:15\n" in text
    assert "RunTime=00:10:02 TimeLimit=01:00:00\n   StartTime=S EndTime=20" in text


def test_a_silent_slurm_delays_the_stop_for_a_moment_only(tmp_path: Path) -> None:
    """After FINAL_WAIT_SECONDS the stop is sent, with the first description and the end added."""
    world = described(tmp_path)
    world.begin(7)
    world.run(200)
    world.workers["final-texts"].hangs = True
    end(world, "FAILED", "")
    world.run(FINAL_WAIT_SECONDS - 0.2)
    before = (7, NOON) in world.backend.ends
    world.run(0.5)

    assert (False, True) == (before, (7, NOON) in world.backend.ends)
    assert "JobState=FAILED" in edits(world)["slurmInfo"]


def test_the_final_description_is_within_the_limits(tmp_path: Path) -> None:
    """The limits are those of the first description, and secrets are masked."""
    world = described(tmp_path)
    world.composer.metadata = MetadataPolicy(
        end_summary=True, description_bytes=100, secrets=(re.compile("FAIL"),)
    )
    world.final_texts[7] = LAST + "   Comment=" + "x" * 1000
    finish(world)
    text = edits(world)["slurmInfo"]

    assert text.startswith("JobId=7 JobName=x\n   JobState=***ED")
    assert text.endswith(" bytes cut]")
    assert len(text) <= 100


@pytest.mark.parametrize(
    "policy",
    [
        MetadataPolicy(end_summary=True, slurm_info=False),
        MetadataPolicy(end_summary=True, withheld_partitions=frozenset({"work"})),
    ],
)
def test_a_withheld_description_is_not_sent_at_the_end_either(
    tmp_path: Path, policy: MetadataPolicy
) -> None:
    """`slurm_info` is off, or the partition is withheld: only the end summary is sent."""
    world = described(tmp_path)
    world.composer.metadata = policy
    world.final_texts[7] = LAST
    finish(world)

    assert "FAILED" == summary(world)


def test_a_run_first_read_after_its_end_has_its_final_description(tmp_path: Path) -> None:
    """The drain reads start and stop event together, and sends Slurm's final description."""
    world = described(tmp_path)
    world.final_texts[7] = LAST
    world.begin(7)
    world.now += 5
    end(world, "FAILED", "")
    world.run(300)

    assert LAST == edits(world)["slurmInfo"]


def test_no_final_description_of_an_excluded_run_is_sent(tmp_path: Path) -> None:
    """The job has the opt-out flag: no end summary is sent either."""
    world = described(tmp_path)
    world.final_texts[7] = LAST
    finish(world, comment="disable_cc_submission")

    assert {} == edits(world)


def test_a_final_description_that_comes_after_the_stop_is_dropped(tmp_path: Path) -> None:
    """The row is archived by then, with the first description and the end added."""
    world = described(tmp_path)
    worker = world.workers["final-texts"]
    worker.hangs = True
    finish(world)
    worker.put_answer((), {(7, NOON): LAST})
    world.run(5)

    assert "JobState=FAILED Reason=None" in edits(world)["slurmInfo"]
    assert {} == world.files()

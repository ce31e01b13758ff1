"""The rows of the jobs of a story on a real Slurm cluster: actual rows and expected rows."""

from __future__ import annotations

from typing import Any

from real_expected import expected_metadata, expected_row, shown
from real_site import RealSite
from real_story import Story

SHOWN = {  # name -> user, state
    "batch": ("alice", "completed"),
    "srun": ("bob", "completed"),
    "whole": ("bob", "completed"),
    "own": ("alice", "completed"),
    "two nodes": ("bob", "completed"),
    "typed": ("alice", "completed"),
    "untyped": ("bob", "completed"),
    "failed": ("alice", "failed"),
    "cancelled": ("alice", "cancelled"),
    "suspended": ("alice", "cancelled"),
    "timeout": ("alice", "timeout"),
    "long": ("bob", "cancelled"),
    "over": ("bob", "cancelled"),
    "away with gpu": ("bob", "completed"),
    "bystander": ("bob", "completed"),
}
REPORTED_LATE = frozenset({"long", "over", "away", "away with gpu"})


def rows_of(site: RealSite, story: Story, name: str) -> list[dict[str, Any]]:
    """Return the final rows of all jobs of a name."""
    return site.wait_closed(*story.tasks.get(name, story.jobs[name]))


def wanted_rows(site: RealSite, story: Story, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the expected rows of jobs that wrote their own Slurm record."""
    late = {job for name in REPORTED_LATE for job in story.jobs[name]} - {story.one("long")}
    return [
        expected_row(
            shown(story.lab, row["jobId"]),
            story.runs[row["jobId"]][-1],
            site.server.model.version if row["jobId"] in late else site.version,
        )
        for row in rows
    ]


def wanted_texts(story: Story, rows: list[dict[str, Any]], script: str | None) -> list[Any]:
    """Return the expected metadata of rows, without the descriptions."""
    return [
        expected_metadata(shown(story.lab, row["jobId"]), story.runs[row["jobId"]][-1], script)
        for row in rows
    ]


def reported_texts(rows: list[dict[str, Any]]) -> list[Any]:
    """Return the metadata of rows without the descriptions."""
    apart = {"slurmInfo", "endSummary"}  # endSummary only if the server is 1.5 at the job's end
    return [{k: v for k, v in row["metaData"].items() if k not in apart} for row in rows]


def times(row: dict[str, Any]) -> tuple[int, int, str]:
    """Return the start, end and state of a row."""
    return row["startTime"], row["stopTime"], row["jobState"]


def accounted_times(story: Story, job: int) -> tuple[int, int, str]:
    """Return the start, end and state of a job's last run according to accounting."""
    run = story.runs[job][-1]
    return run.start, run.reported_end, run.state


def threads(row: dict[str, Any]) -> int:
    """Return the number of hardware threads of a row; both threads of each core must be listed."""
    total = 0
    for node in row["resources"]:
        first = [thread for thread in node["hwthreads"] if thread < 8]
        assert [*first, *(thread + 8 for thread in first)] == node["hwthreads"]
        total += len(node["hwthreads"])
    return total

"""A plan as text and as JSON."""

from __future__ import annotations

from dataclasses import replace

from sweep_values import OLD, start, stop

from spool.files.run_id import RunId
from spool.formatting import format_time
from sweeper.formats import plan_document, plan_lines
from sweeper.values import Close, GuardFinding, GuardKind, Plan, Report

CLOSE = Close(key=RunId(3, OLD), end_time=OLD + 60, why="unknown")


def test_a_plan_as_text_is_short_and_as_json_complete() -> None:
    """The text has 50 rows at most, marks held stops and escapes user names."""
    evil = replace(start(1), job=replace(start(1).job, user="a\nb"))
    reports = tuple(Report(key=RunId(i, OLD), user="eve", why="odd") for i in range(100, 160))
    guard = GuardFinding(name="stops", kind=GuardKind.SIZE, text="many")
    plan = Plan(
        changes=(evil, CLOSE), held_back=(stop(4),), reports=reports, guards=(guard,), over_limit=2,
        skipped={"young": 1}, running_counts=(5, 6), first_sightings=(replace(evil, not_before=9),),
    )  # fmt: skip

    lines = list(plan_lines(plan))
    data = plan_document(plan)

    assert len(lines) == 1 + 50 + 2
    assert lines[1].split()[:3] == ["start", "1", "a\\x0ab"]
    assert lines[3].split()[:3] == ["held", "stop", "4"]
    assert lines[-2] == "... and 13 more; --json shows all"
    assert lines[-1] == (
        "1 missing start, 1 missing stop, 1 stale run, 60 other differences; 1 stop held back"
        " by a safety check; 2 changes over the limit (--limit), left for the next sweep;"
        " details of 1 new job to be stored while Slurm still knows them; nothing to do for: 1 run"
        " younger than sweep.grace_seconds; running: 5 in Slurm, 6 at cc-backend"
    )
    assert (len(data["reports"]), data["refused"]) == (60, True)
    assert data["changes"][1] == {
        "what": "close", "job_id": 3, "start": OLD, "user": "", "why": "unknown",
        "end": OLD + 60,
    }  # fmt: skip
    assert [each["not_before"] for each in data["first_sightings"]] == [9]
    assert "not_before" not in data["changes"][0]
    assert data["guards"] == [{"name": "stops", "kind": "size", "text": "many"}]


def test_a_plan_says_that_not_all_ended_runs_were_read() -> None:
    """The text and the JSON have the time up to which ended runs were read."""
    plan = Plan(ends_read_until=OLD)

    (line,) = plan_lines(plan)

    rest = f"those that ended after {format_time(OLD)} are checked by the next one"
    assert line == f"nothing to repair; too many jobs have ended for one sweep: {rest}"
    assert plan_document(plan)["ends_read_until"] == OLD

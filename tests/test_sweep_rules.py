"""The rules of `cc-sweep` at a site: first apply, grace, held stops, exclusions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faulty_slurm import ListedRun
from filelock import FileLock
from sweep_site import drifted, site

from spool.files.event import parse_extras

HOUR = 3600
FLAG = "disable_cc_submission"


def test_a_plan_before_the_first_apply_shows_differences(tmp_path: Path) -> None:
    """The exit code is 10; a note says that the first apply only stores its time."""
    with site(tmp_path, mark=False) as made:
        drifted(made)

        said = made.sweep("plan")

    assert said.code == 10
    assert "held stop" in said.out
    assert "the first `cc-sweep apply` only stores its time" in said.err
    assert "error" not in said.err


def test_a_plan_without_differences_before_the_first_apply_exits_0(tmp_path: Path) -> None:
    """A note on stderr says that no sweep has been applied here yet."""
    with site(tmp_path, mark=False) as made:
        said = made.sweep("plan")

    assert (said.code, "no sweep has been applied here yet" in said.err) == (0, True)


def test_runs_before_the_first_apply_are_not_reported(tmp_path: Path) -> None:
    """The first apply stores its time and exits with 11; earlier runs need a backfill."""
    with site(tmp_path, mark=False) as made:
        made.run(ListedRun(9, made.now - HOUR, "COMPLETED", made.now - HOUR // 2, in_squeue=False))

        codes = [made.sweep("apply").code, made.sweep("apply").code, made.sweep("plan").code]

        assert (codes, made.server.rows()) == ([11, 0, 0], {})
        assert json.loads((made.state / "sweep.json").read_text())["installed"] == made.now


def test_a_young_job_is_captured_and_reported_later(tmp_path: Path) -> None:
    """A run of 60 s is stored as an event with `not_before`; it is no difference: exit 0."""
    with site(tmp_path) as made:
        young = ListedRun(7, made.now - 60)
        made.run(young)

        plan = made.sweep("plan", "--json")
        with FileLock(made.state / "drain.lock"):
            applied = made.sweep("apply", "--wait", 0)

        (event,) = made.names("new")
        extras = parse_extras((made.spool / "new" / event).read_bytes())
    assert (plan.code, applied.code) == (0, 0)
    assert [(each["job_id"], each["not_before"]) for each in plan.json["first_sightings"]] == [
        (7, young.start + 600)
    ]
    assert extras == {"not_before": str(young.start + 600)}


def test_a_named_job_is_reported_whatever_its_age(tmp_path: Path) -> None:
    """With -j the grace does not apply, neither to a start nor to a stop."""
    with site(tmp_path) as made:
        ended = ListedRun(8, made.now - 90, "COMPLETED", made.now - 5, in_squeue=False)
        made.run(ended)
        made.row(8, ended.start)
        unseen = ListedRun(9, made.now - 60, "COMPLETED", made.now - 2, in_squeue=False)
        made.run(unseen)

        said = made.sweep("apply", "-j", 8, "-j", 9)

        assert said.code == 0, said.err
        assert made.server.rows() == {
            (8, ended.start): "completed",
            (9, unseen.start): "completed",
        }


def test_apply_exits_with_0_if_only_stops_are_held(tmp_path: Path) -> None:
    """The start is applied; sweep.json has the refusal and the 22 held stops."""
    with site(tmp_path) as made:
        _, _, unseen = drifted(made)
        for job_id in range(100, 121):
            over = ListedRun(
                job_id, made.now - 2 * HOUR, "COMPLETED", made.now - HOUR, in_squeue=False
            )
            made.run(over)
            made.row(job_id, over.start)

        said = made.sweep("apply")

        assert (said.code, "more than 20" in said.err) == (0, True)
        assert made.server.rows()[9, unseen.start] == "completed"
        state = json.loads((made.state / "sweep.json").read_text())
    assert (state["refused"], len(state["held"]["stops"])) == (True, 22)


def test_stops_wait_for_a_recovering_controller_without_a_warning(tmp_path: Path) -> None:
    """The exit code is 11, but sweep.json has no refusal, so that `check` does not warn."""
    with site(tmp_path) as made:
        drifted(made)
        made.truth.booted = made.now - 60
        made.say()

        said = made.sweep("apply", "--direction", "stop")

        state = json.loads((made.state / "sweep.json").read_text())
    assert (said.code, "slurmctld has been up for 60 s" in said.err) == (11, True)
    assert (state["refused"], state["guards"]) == (False, ["boot"])


def test_stops_are_applied_after_a_reconfiguration_of_slurmctld(tmp_path: Path) -> None:
    """A node's slurmd started with slurmctld: this is a reconfiguration, which loses no job."""
    with site(tmp_path) as made:
        _, ended, _ = drifted(made)
        made.truth.booted = made.now - 60
        made.say()
        times = f"   BootTime={made.now - 9 * HOUR} SlurmdStartTime={made.now - 59}\n"
        (made.root / "nodes.txt").write_text(f"NodeName=n1 Arch=x86_64\n{times}")

        said = made.sweep("apply")

        assert said.code == 0, said.err
        assert made.server.rows()[8, ended.start] == "failed"


@pytest.mark.parametrize(
    "filters",
    [
        {"users": {"deny": ["ada"]}},
        {"users": {"allow": ["eve"]}},
        {"qos": {"deny": ["normal"]}},
        {"qos": {"allow": ["long"]}},
        {"accounts": {"deny": ["p1"]}},
    ],
)
def test_filters_use_facts_of_accounting(tmp_path: Path, filters: dict[str, Any]) -> None:
    """An ended run is excluded by the user, QOS or account that sacct shows."""
    with site(tmp_path) as made:
        drifted(made)
        made.document["filters"] = filters
        made.write()

        plan = made.sweep("plan", "--json").json

    assert [change["job_id"] for change in plan["changes"]] == [8]
    assert plan["known"] == {"unreported": 1}


@pytest.mark.parametrize("facts", [{"admin_comment": FLAG}, {"comment": f"mine,{FLAG}"}])
def test_an_opt_out_is_read_from_accounting(tmp_path: Path, facts: dict[str, Any]) -> None:
    """A flag in comment or AdminComment: neither a sweep nor a backfill reports the job."""
    with site(tmp_path) as made:
        hidden = ListedRun(9, made.now - 2 * HOUR, "COMPLETED", made.now - HOUR, **facts)
        made.run(replace(hidden, in_squeue=False))

        plan = made.sweep("plan", "--json").json
        window = ("--since", "1d", "--until", "now")
        codes = made.sweep("apply").code, made.sweep("backfill", *window, "--json").json["queued"]

        assert (plan["changes"], plan["known"], codes) == ([], {"unreported": 1}, (0, 0))
        assert made.server.rows() == {}


def test_a_filter_on_a_value_missing_in_squeue_excludes_no_job(tmp_path: Path) -> None:
    """The job list has no QOS; the drain, which reads the whole record, decides."""
    with site(tmp_path) as made:
        made.run(ListedRun(7, made.now - 2 * HOUR))
        made.document["filters"] = {"qos": {"allow": ["normal"]}}
        made.write()

        plan = made.sweep("plan", "--json").json

    assert [change["what"] for change in plan["changes"]] == ["start"]

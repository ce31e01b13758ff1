"""Drift of every kind on a real Slurm cluster: one sweep and one drain repair it.

The hooks are removed, so that only the sweep can detect drift. The lab's controller has just
started: `scontrol` shows its start an hour earlier, or the sweep would wait for two minutes.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from real_site import RealSite
from slurm_lab import RELEASES, Lab, Settings, require_slurm, require_tree
from sweep_story import EXPLAINED, ROOT, Story, age, planned, play

HOOKS = ROOT / "hooks"
pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module", params=RELEASES)
def story(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Story]:
    """Run a cluster whose controller purges jobs after 5 s, and run the whole story."""
    require_slurm()
    tree = require_tree(request.param)
    root = tmp_path_factory.mktemp("sweep")
    settings = Settings(hooks=HOOKS, options={"MinJobAge": "5"}, tree=tree)
    with Lab(settings) as lab, RealSite(lab, "1.4.4", root) as site:
        age(site, root)
        reported = Story(lab, site)
        play(reported)
        yield reported


def test_the_first_sweep_repairs_nothing(story: Story) -> None:
    """The exit code is 11; runs that wait for a drain count as `known`, not as differences."""
    first = story.sweeps["first"]

    assert (first.code, [guard["name"] for guard in first.plan["guards"]]) == (11, ["first"])
    assert sum(first.plan["known"].values()) >= 1
    assert "delivered" not in first.err


def test_a_plan_has_exactly_the_lost_starts_and_stops(story: Story) -> None:
    """Array tasks and het components have their own ids; a run waiting in the spool is no change.

    Runs that ended before the first sweep are not planned; only the spool has them.
    """
    jobs = story.jobs
    wanted = {
        **{name: ["stop"] for name in ("ends", "cancelled", "requeued", "node dies")},
        **{name: ["start"] for name in ("deleted", "suspended", "unseen", "unseen, over")},
    }
    members = {i for i in story.ids() if i >= jobs["array"]}

    for name in ("lost hooks", "lost hooks: apply"):
        found = planned(story.sweeps[name])
        assert {jobs[job]: what for job, what in wanted.items()} == {
            i: what for i, what in found.items() if i not in members
        }
        assert [["start"]] * 5 == [found[i] for i in members]
    assert story.sweeps["lost hooks"].code == 10
    assert story.sweeps["lost hooks"].plan["known"] == {"queued": 1}


@pytest.mark.parametrize("what", ["lost hooks", "run again", "accounting again", "wrapped"])
def test_one_sweep_and_one_drain_repair_all_differences(story: Story, what: str) -> None:
    """The next plan is empty, except for a row without a job in Slurm."""
    after = story.sweeps[f"{what}: after"]

    assert story.sweeps[f"{what}: apply"].code == 0
    assert after.plan["changes"] == []
    assert [each["job_id"] for each in after.plan["reports"]] == (
        [story.jobs["wrapped"]] if what == "wrapped" else []
    )
    assert after.code == (10 if what == "wrapped" else 0)


def test_without_accounting_no_job_is_stopped(story: Story) -> None:
    """While slurmdbd is down, the exit code is 11; after its restart the stop is planned."""
    swept = story.sweeps["no accounting"]

    assert (swept.code, planned(swept)) == (11, {})
    assert [guard["name"] for guard in swept.plan["guards"]] == ["accounting"]
    assert planned(story.sweeps["accounting again: apply"]) == {story.jobs["unseen"]: ["stop"]}


def test_a_job_between_two_states_is_not_planned(story: Story) -> None:
    """CONFIGURING is no run yet; COMPLETING has ended, and its stop waits for the last step."""
    slow = story.sweeps["slow"]
    hides_the_end = story.lab.settings.tree is None  # squeue of 22.05 shows one word of the state

    assert planned(slow) == {story.jobs["kept"]: ["stop"]}
    assert slow.code == (75 if hides_the_end else 0)


def test_a_reused_job_id_is_a_new_job(story: Story) -> None:
    """Job ids have wrapped: the new job is started, and the row of the older one is reported."""
    (report,) = story.sweeps["wrapped: apply"].plan["reports"]

    assert planned(story.sweeps["wrapped: apply"]) == {story.jobs["wrapped"]: ["start"]}
    assert report["why"] == "not in Slurm's queue, and accounting does not have it"


@pytest.mark.parametrize("name", EXPLAINED)
def test_explain_shows_all_runs_of_a_job(story: Story, name: str) -> None:
    """The job is requeued, an array task, a het component, has a reused id, or has ended."""
    page = story.sweeps[f"explain {name}"].plan

    assert EXPLAINED[name] == [run["state"] for run in page["slurm"]["accounting"]]
    assert page["command"] is None
    expected = {"wrapped": "needs an administrator", "requeued": "nothing to do"}
    assert page["verdict"].startswith(expected.get(name, "in agreement"))
    assert len(page["slurm"]["members"]) == (2 if name == "array" else 0)


def test_past_jobs_are_delivered(story: Story) -> None:
    """One job is repaired by id, the others by backfill, which skips them when repeated."""
    one, dry, reported, again = (
        story.sweeps[name] for name in ("one job", "history, counted", "history", "history again")
    )

    assert (one.code, planned(one)) == (0, {story.jobs["ends"]: ["start"]})
    assert (dry.plan["queued"], dry.plan["dry_run"]) == (2, True)
    assert (reported.code, reported.plan["queued"], reported.plan["pending"]) == (0, 2, 0)
    assert (again.plan["queued"], again.plan["at_backend"]) == (0, again.plan["seen"])


STATES = {
    "kept": "cancelled",
    "deleted": "running",
    "ends": "cancelled",
    "cancelled": "cancelled",
    "requeued": "running",
    "suspended": "running",
    "node dies": "running",
    "no drain": "running",
    "no drain, over": "completed",
    "unseen": "cancelled",
    "unseen, over": "completed",
    "array": "running",
    "het": "running",
    "wrapped": "running",
}


@pytest.mark.parametrize("name", STATES)
def test_every_run_has_the_right_row_after_all_sweeps(story: Story, name: str) -> None:
    """The row has Slurm's own start and, if the run has ended, its end."""
    row = story.site.rows(story.jobs[name])[-1]
    mine = [
        found
        for found in story.lab.jobs.accounted(story.jobs[name], "JobIDRaw", "Start", "End")
        if found[0] == str(story.jobs[name])
    ]
    start, end = mine[-1][1], mine[-1][2]

    assert (STATES[name], int(start)) == (row["jobState"], row["startTime"])
    assert end == "Unknown" or int(end) - row["stopTime"] in {0, -1}  # an end follows its start

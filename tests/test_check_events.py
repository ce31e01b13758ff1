"""The check that the hooks write events, with made-up values and with a real Slurm."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_site import NOON, CommandSite
from slurm_lab import Lab, Settings, require_slurm

from slurm.client import Slurm
from slurm.decode.job_rows import SqueueRow
from slurm.decode.scontrol_config import SlurmSettings, active_elsewhere
from slurm.process import ProcessRunner
from spool.checks.result import CheckResult, CheckStatus
from spool.config import load
from spool.connections import slurm_commands
from spool.preflight.hooks import (
    SeenEvents,
    activation,
    check_hooks,
    check_last_event,
    seen_events,
)

HOOKS = Path(__file__).resolve().parent.parent / "hooks"
AS_OF = "Configuration data as of"
CONFIG: SlurmSettings = {
    AS_OF: (str(NOON),),
    "BOOT_TIME": (str(NOON - 9000),),
    "SLURM_VERSION": ("22.05.8",),
    "ResumeTimeout": ("300 sec",),
}


def job(age: int, job_id: int = 7, *, nodes: str = "n1") -> SqueueRow:
    """Return a job that started some seconds ago."""
    return SqueueRow(
        job_id=job_id,
        array_job_id=job_id,
        state="RUNNING",
        start_time=NOON - age,
        submit_time=NOON - age,
        partition="main",
        user="anna",
        account="physics",
        nodes=nodes,
    )


def check(events: SeenEvents, *jobs: SqueueRow, config: SlurmSettings = CONFIG) -> CheckResult:
    """Return the result of the check."""
    return check_last_event(events, jobs, config)


NONE = SeenEvents(last=None)


def test_jobs_that_started_without_any_event_are_a_warning() -> None:
    """The result names the newest job and what to do on this release."""
    found = check(NONE, job(900, 5), job(600, 6))

    assert CheckStatus.WARNING is found.status
    expected = "job 6 started 10m 00s ago, but no event has arrived: no hook wrote an event"
    assert expected == found.text
    assert "started, restart slurmctld (up to Slurm 23.02 " in found.hint


def test_a_job_without_an_event_after_earlier_events_is_a_warning() -> None:
    """The hooks did run, but they do not run any more."""
    found = check(SeenEvents(last=NOON - 7200.0), job(600))

    assert CheckStatus.WARNING is found.status
    assert "but the last event arrived 2h 00m ago" in found.text


@pytest.mark.parametrize("last", [NOON - 1.0, NOON - 600.0, NOON - 950.0])
def test_an_event_near_the_newest_jobs_start_is_ok(last: float) -> None:
    """The check gives OK if the event is older than the start by up to ResumeTimeout + 60 s."""
    found = check(SeenEvents(last=last), job(600), job(3000))

    assert CheckStatus.OK is found.status


@pytest.mark.parametrize(
    ("events", "jobs"),
    [
        (NONE, ()),
        (NONE, (job(30),)),
        (NONE, (job(9001),)),
        (NONE, (job(600, nodes=""),)),
        (SeenEvents(last=None, watched_since=NOON - 500), (job(600),)),
    ],
    ids=["no job", "just started", "before slurmctld", "never ran", "before the drain"],
)
def test_no_event_is_missing_if_no_job_must_have_one(
    events: SeenEvents, jobs: tuple[SqueueRow, ...]
) -> None:
    """Jobs that just started, never ran, or began before slurmctld or the drain need no event."""
    found = check(events, *jobs)

    assert (CheckStatus.OK, "no event has arrived yet, and none is missing") == (
        found.status,
        found.text,
    )


def test_without_times_of_the_controller_our_clock_is_used() -> None:
    """A job without an event is a warning even if scontrol shows no time."""
    assert CheckStatus.WARNING is check(NONE, job(600), config={}).status
    assert CheckStatus.WARNING is check(SeenEvents(last=NOON - 9e5), job(600), config={}).status


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (("21.08.8",), "restart slurmctld"),
        (("23.02.7",), "restart slurmctld"),
        (("23.11.0",), "run `scontrol reconfigure`"),
        (("26.05.3",), "run `scontrol reconfigure`"),
        (("odd",), "restart slurmctld"),
        ((), "restart slurmctld"),
    ],
)
def test_the_command_that_activates_a_hook_depends_on_the_release(
    version: tuple[str, ...], words: str
) -> None:
    """The hint has `scontrol reconfigure` from 23.11 on; a restart works on every release."""
    config = {"SLURM_VERSION": version}
    (prolog, _) = check_hooks(config, Path("/spool"), None)

    assert activation(config).startswith(words)
    assert f", then {words}" in prolog.hint


@pytest.mark.parametrize(
    ("controllers", "is_active"),
    [
        ((), True),
        ((("primary", "ctl2", True),), True),
        ((("primary", "ctl1.x.org", True), ("backup", "ctl2", True)), True),
        ((("primary", "ctl1", False), ("backup", "ctl2", True)), False),
        ((("primary", "ctl1", False), ("backup", "ctl2", False)), True),
    ],
)
def test_events_arrive_on_the_host_of_the_active_controller(
    controllers: tuple[tuple[str, str, bool], ...], *, is_active: bool
) -> None:
    """If the active controller is unknown, it counts as the one on this host."""
    assert is_active is (active_elsewhere(controllers, "ctl1.example.org") is None)


@pytest.fixture
def site(tmp_path: Path) -> CommandSite:
    """Return a site with an empty spool."""
    return CommandSite(tmp_path / "site")


def test_the_last_event_is_taken_from_the_drain_and_the_spool(site: CommandSite) -> None:
    """The newer of both times is used; a file that is not an event is ignored."""
    spool = load(site.config).spool
    nothing = seen_events(spool)
    site.write_drain_state(started=NOON - 50, last_event=NOON - 20.5)
    by_drain = seen_events(spool)
    site.put_event("1-start-7-0-0-9", time=NOON - 10)
    site.put_event("odd", time=NOON)

    assert SeenEvents(last=None) == nothing
    assert SeenEvents(last=NOON - 20.5, watched_since=NOON - 50) == by_drain
    assert NOON - 10 == seen_events(spool).last


def test_a_spool_that_cannot_be_read_has_no_events(site: CommandSite) -> None:
    """Another check reports the problem with the spool."""
    site.write_drain_state(started=None, last_event="odd")
    (site.spool / "new").rmdir()

    assert SeenEvents(last=None) == seen_events(load(site.config).spool)


@pytest.mark.slurm
def test_reconfigure_does_not_switch_hooks_on_in_an_old_slurm(site: CommandSite) -> None:
    """After a reconfigure the lines are shown, but only a restart makes the hooks write events."""
    require_slurm()
    with Lab(Settings(accounting=False, hooks=HOOKS)) as lab:
        stubs = [lab.root / "hooks" / f"{name}_slurmctld" for name in ("prolog", "epilog")]
        names = ("PrologSlurmctld", "EpilogSlurmctld")
        lab.configure(dict.fromkeys(names, ""))
        lab.controller.restart()
        site.document["slurm"] = {"scontrol": str(lab.command("scontrol"))}
        site.document["slurm"] |= {"squeue": str(lab.command("squeue"))}
        site.document["spool"]["directory"] = str(lab.spool)
        site.write()
        config = load(site.config)
        slurm = Slurm(slurm_commands(config), ProcessRunner())

        def verdict_after_a_job() -> tuple[bool, CheckStatus]:
            lab.jobs.wait_ended(lab.jobs.sbatch())
            settings = {**slurm.config(), AS_OF: (str(2**40),)}
            found = check_last_event(seen_events(config.spool), slurm.listing(), settings)
            return bool(settings["PrologSlurmctld"]), found.status

        lab.configure(dict(zip(names, map(str, stubs), strict=True)))
        reconfigured = verdict_after_a_job()
        lab.controller.restart()
        restarted = verdict_after_a_job()

    assert [(True, CheckStatus.WARNING), (True, CheckStatus.OK)] == [reconfigured, restarted]

"""Each safety check just below and just above its threshold."""

from __future__ import annotations

from typing import Any

import pytest
from sweep_values import NOON, sizes

from sweeper.guard import AnswerCheckInput, check_answers, check_sizes
from sweeper.values import GuardFinding, GuardKind


def spoken(*, has_stops: bool = True, **facts: Any) -> list[str]:
    """Return the names of the failed safety checks of the answers."""
    base: dict[str, Any] = {
        "controller_clock": NOON,
        "clock": NOON,
        "boot_time": NOON - 9999,
        "cluster": "lab",
    }
    return [
        guard.name
        for guard in check_answers(AnswerCheckInput(**(base | facts)), has_stops=has_stops)
    ]


def held(**numbers: Any) -> list[str]:
    """Return the names of the failed safety checks of the sizes."""
    return [guard.name for guard in check_sizes(sizes(**numbers))]


def test_an_ordinary_answer_passes_every_check() -> None:
    """Neither the checks of answers nor those of sizes return a finding."""
    assert spoken() == []
    assert held() == []


def test_a_failed_query_is_a_failed_check() -> None:
    """The finding has the message of the query, here that squeue was cut."""
    guard = GuardFinding(name="slurm", kind=GuardKind.ANSWER, text="squeue was cut")

    assert list(check_answers(AnswerCheckInput(failed=(guard,)))) == [guard]


@pytest.mark.parametrize(("up", "names"), [(119, ["boot"]), (120, [])])
def test_stops_wait_for_a_controller_that_has_just_started(up: int, names: list[str]) -> None:
    """A slurmctld that is up for less than 120 s may still recover jobs."""
    assert spoken(boot_time=NOON - up) == names


def test_a_reconfigured_controller_passes_the_boot_check() -> None:
    """A reconfiguration makes the boot time recent, but slurmctld still has all jobs."""
    assert spoken(boot_time=NOON - 1, is_reconfigured=True) == []


def test_a_sweep_without_stops_passes_the_boot_check() -> None:
    """The controller has just started, but no stop would have to wait for it."""
    assert spoken(boot_time=NOON - 1, has_stops=False) == []


def test_only_the_boot_check_is_transient() -> None:
    """Every other failed check of an answer needs an administrator."""
    facts = AnswerCheckInput(
        boot_time=NOON - 30, controller_clock=NOON, clock=NOON - 99, sees_all_jobs=False
    )

    found = {guard.name: guard for guard in check_answers(facts)}

    assert {name: guard.is_transient for name, guard in found.items()} == {
        "rights": False,
        "boot": True,
        "clock": False,
    }


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("seconds", "names"), [(60, []), (61, ["clock"])])
def test_clocks_may_differ_by_60_s(sign: int, seconds: int, names: list[str]) -> None:
    """A clock of the sweep's host that is 61 s before or after slurmctld's fails the check."""
    assert spoken(clock=NOON + sign * seconds) == names


def test_an_unknown_controller_clock_fails_no_check() -> None:
    """An unknown clock or boot time of the controller fails none of the checks of answers."""
    assert spoken(controller_clock=None, clock=0) == []
    assert spoken(boot_time=None) == []


def test_another_cluster_is_detected() -> None:
    """Slurm's name differs from the last sweep's, or cc-backend's job list has another cluster."""
    assert spoken(known_cluster="lab") == []
    assert spoken(known_cluster="fritz") == ["cluster"]
    assert spoken(foreign_cluster="fritz") == ["listing"]


def test_only_answers_about_another_cluster_forbid_starts() -> None:
    """Other failed checks forbid only stops; the messages distinguish `nothing` and `no stops`."""
    facts = AnswerCheckInput(
        sees_all_jobs=False, boot_time=NOON - 30, controller_clock=NOON, clock=NOON - 99,
        cluster="fritz", known_cluster="lab", foreign_cluster="fritz",
    )  # fmt: skip

    found = list(check_answers(facts))

    assert [(guard.name, guard.voids_starts) for guard in found] == [
        ("cluster", True),
        ("listing", True),
        ("rights", False),
        ("boot", False),
        ("clock", False),
    ]
    assert {guard.voids_starts for guard in found if "nothing is reported" in guard.text} == {True}
    quiet = [guard for guard in found if "no stops are reported" in guard.text]
    assert {guard.voids_starts for guard in quiet} == {False}


def test_a_restricted_user_is_detected() -> None:
    """A user who cannot see all jobs in Slurm gets shorter job lists, without an error."""
    assert spoken(sees_all_jobs=False) == ["rights"]


@pytest.mark.parametrize(
    ("stops", "running", "names"),
    [(20, 0, []), (21, 0, ["stops"]), (20, 104, []), (21, 104, ["stops"]), (200, 1000, []),
     (201, 1000, ["stops"]), (40, 200, []), (41, 200, ["stops"])],
)  # fmt: skip
def test_many_stops_are_held(stops: int, running: int, names: list[str]) -> None:
    """The limit is the larger of 20 and 20 % of the jobs that run at cc-backend."""
    assert held(stops=stops, running_at_backend=running) == names


@pytest.mark.parametrize(
    ("running", "before", "names"),
    [(50, 100, []), (49, 100, ["fewer"]), (5, 10, []), (4, 10, ["fewer"]), (1, 9, []),
     (1, None, []), (0, 9, ["none"]), (0, 100, ["none"])],
)  # fmt: skip
def test_a_queue_that_lost_half_of_its_jobs_holds_stops(
    running: int, before: int | None, names: list[str]
) -> None:
    """An empty queue holds stops too; without possible stops the check passes."""
    assert held(running_in_slurm=running, running_before=before, candidates=1) == names
    assert held(running_in_slurm=running, running_before=before, candidates=0) == []


def test_before_the_first_sweep_sizes_are_not_checked() -> None:
    """The only finding is `first`: the first sweep repairs nothing, whatever the numbers are."""
    assert held(has_mark=False) == ["first"]
    assert held(has_mark=False, stops=30, running_in_slurm=0, candidates=30) == ["first"]


def test_messages_of_size_checks_have_the_numbers() -> None:
    """An example: 30 of 40 running jobs at cc-backend would be stopped, more than 20."""
    texts = [guard.text for guard in check_sizes(sizes(stops=30, running_at_backend=40))]
    fewer = [
        g.text for g in check_sizes(sizes(running_in_slurm=4, running_before=10, candidates=3))
    ]

    begin, end = (
        "30 of 40 running jobs at cc-backend would be stopped, more than 20",
        "accounting confirms",
    )
    assert (texts[0].startswith(begin), texts[0].endswith(end)) == (True, True)
    assert (
        "4 running jobs, fewer than 50% of the 10 jobs at the last sweep; stops are held"
        in fewer[0]
    )

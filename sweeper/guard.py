"""What makes a sweep distrust itself. Pure; every message has the numbers and the next step.

Guards on the answer void all stops, and no option overrides them. Guards on the size hold stops
back until the next sweep, with fresh answers, plans them again and accounting proves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sweeper.values import GuardFinding, GuardKind

FEW_STOPS = 20
STOPS_SHARE = 0.2
MANY_RUNNING = 10
RUNNING_SHARE = 0.5
BOOT_SECONDS = 120
CLOCK_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCheckInput:
    """What is suspicious about who answered and how.

    `failed` are guards of questions without a whole answer. `sees_all_jobs` is False where other
    users' jobs may be hidden from us. `boot_time` is when the controller began, `controller_clock`
    its clock and `clock` ours at the same moment; None where not told. `cluster` is Slurm's own
    name, `known_cluster` that of the sweeps before; `foreign_cluster` a cluster of cc-backend's
    listing that was not asked for.
    """

    failed: tuple[GuardFinding, ...] = ()
    sees_all_jobs: bool = True
    boot_time: int | None = None
    controller_clock: int | None = None
    clock: int = 0
    cluster: str = ""
    known_cluster: str | None = None
    foreign_cluster: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeCheckInput:
    """How much would be stopped, and against what.

    `candidates` run at cc-backend and not in Slurm, proven over or not. `running_before` is what
    the last sweep saw running in Slurm, None before the first sweep.
    """

    stops: int
    candidates: int
    running_at_backend: int
    running_in_slurm: int
    running_before: int | None
    has_mark: bool


def check_answers(answers: AnswerCheckInput) -> Iterator[GuardFinding]:
    """Yield the guards on the answer that speak."""
    yield from answers.failed
    if answers.known_cluster is not None and answers.cluster != answers.known_cluster:
        text = (
            f"Slurm calls itself {answers.cluster!r}, the last sweep saw {answers.known_cluster!r};"
            " if it was renamed, remove sweep.json from the state directory"
        )
        yield _answer_finding("cluster", text)
    if answers.foreign_cluster is not None:
        text = f"cc-backend lists jobs of {answers.foreign_cluster!r}, which were not asked for"
        yield _answer_finding("listing", text)
    if not answers.sees_all_jobs:
        text = (
            "PrivateData hides other users' jobs from this account;"
            " give it AdminLevel Operator (sacctmgr modify user)"
        )
        yield _answer_finding("rights", text)
    yield from _check_times(answers)


def _check_times(answers: AnswerCheckInput) -> Iterator[GuardFinding]:
    clock = answers.controller_clock
    if clock is None:
        return
    if answers.boot_time is not None and clock - answers.boot_time < BOOT_SECONDS:
        text = (
            f"the controller is up for {clock - answers.boot_time} s and may still recover jobs;"
            f" stops wait until {BOOT_SECONDS} s"
        )
        yield _answer_finding("boot", text)
    if abs(clock - answers.clock) > CLOCK_SECONDS:
        text = (
            f"this clock differs from the controller's by {answers.clock - clock} s,"
            f" more than {CLOCK_SECONDS} s; mend the time service"
        )
        yield _answer_finding("clock", text)


def check_sizes(sizes: SizeCheckInput) -> Iterator[GuardFinding]:
    """Yield the guards on the size that speak."""
    if not sizes.has_mark:
        text = (
            "no sweep was applied here before: the first one only looks and sets its mark,"
            " the next one acts (or: cc-sweep apply --force --stops N)"
        )
        yield _size_finding("first", text)
    threshold = stops_threshold(sizes.running_at_backend)
    if sizes.stops > threshold:
        text = (
            f"{sizes.stops} stops of {sizes.running_at_backend} running jobs at cc-backend are more"
            f" than {threshold}"
        )
        yield _size_finding("stops", text + _NEXT_STEP)
    if sizes.candidates:
        yield from _check_running(sizes)


def _check_running(sizes: SizeCheckInput) -> Iterator[GuardFinding]:
    before = sizes.running_before or 0
    if sizes.running_in_slurm == 0:
        text = f"Slurm lists no running job, cc-backend {sizes.running_at_backend}"
        yield _size_finding("none", text + _NEXT_STEP)
    elif before >= MANY_RUNNING and sizes.running_in_slurm < before * RUNNING_SHARE:
        text = (
            f"Slurm lists {sizes.running_in_slurm} running jobs, less than {RUNNING_SHARE:.0%}"
            f" of the {before} of the last sweep"
        )
        yield _size_finding("fewer", text + _NEXT_STEP)


def stops_threshold(running_at_backend: int) -> int:
    """Return how many stops pass at once."""
    return max(FEW_STOPS, int(running_at_backend * STOPS_SHARE))


_NEXT_STEP = (
    "; stops are held: the next sweep applies those that it plans again and accounting proves"
)


def _answer_finding(name: str, text: str) -> GuardFinding:
    return GuardFinding(name=name, kind=GuardKind.ANSWER, text=f"{text}; no stops")


def _size_finding(name: str, text: str) -> GuardFinding:
    return GuardFinding(name=name, kind=GuardKind.SIZE, text=text)

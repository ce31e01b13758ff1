"""What makes a sweep distrust itself. Pure; every message has the numbers and the next step.

Guards on the answer void all stops, and no option overrides them. Guards on the size hold stops
back until the next sweep, with fresh answers, plans them again and accounting proves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sweeper.values import Guard, GuardKind, Key

FEW_STOPS = 20
STOPS_SHARE = 0.2
MANY_RUNNING = 10
RUNNING_SHARE = 0.5
BOOT_SECONDS = 120
CLOCK_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What is suspicious about who answered and how.

    `failed` are guards of questions without a whole answer. `sees_all` is False where other
    users' jobs may be hidden from us. `booted` is when the controller began, `controller_clock`
    its clock and `clock` ours at the same moment; None where not told. `cluster` is Slurm's own
    name, `known_cluster` that of the sweeps before; `foreign` a cluster of cc-backend's listing
    that was not asked for.
    """

    failed: tuple[Guard, ...] = ()
    sees_all: bool = True
    booted: int | None = None
    controller_clock: int | None = None
    clock: int = 0
    cluster: str = ""
    known_cluster: str | None = None
    foreign: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a sweep kept back: when, and which runs."""

    time: int
    guards: tuple[str, ...]
    stops: frozenset[Key] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much would be stopped, and against what.

    `candidates` run at cc-backend and not in Slurm, proven over or not. `running_before` is what
    the last sweep saw running in Slurm, None before the first sweep.
    """

    stops: int
    candidates: int
    running_there: int
    running: int
    running_before: int | None
    has_mark: bool


def answer_guards(answers: Answers) -> Iterator[Guard]:
    """Yield the guards on the answer that speak."""
    yield from answers.failed
    if answers.known_cluster is not None and answers.cluster != answers.known_cluster:
        text = (
            f"Slurm calls itself {answers.cluster!r}, the last sweep saw {answers.known_cluster!r};"
            " if it was renamed, remove sweep.json from the state directory"
        )
        yield _answer("cluster", text)
    if answers.foreign is not None:
        text = f"cc-backend lists jobs of {answers.foreign!r}, which were not asked for"
        yield _answer("listing", text)
    if not answers.sees_all:
        text = (
            "PrivateData hides other users' jobs from this account;"
            " give it AdminLevel Operator (sacctmgr modify user)"
        )
        yield _answer("rights", text)
    yield from _time_guards(answers)


def _time_guards(answers: Answers) -> Iterator[Guard]:
    clock = answers.controller_clock
    if clock is None:
        return
    if answers.booted is not None and clock - answers.booted < BOOT_SECONDS:
        text = (
            f"the controller is up for {clock - answers.booted} s and may still recover jobs;"
            f" stops wait until {BOOT_SECONDS} s"
        )
        yield _answer("boot", text)
    if abs(clock - answers.clock) > CLOCK_SECONDS:
        text = (
            f"this clock differs from the controller's by {answers.clock - clock} s,"
            f" more than {CLOCK_SECONDS} s; mend the time service"
        )
        yield _answer("clock", text)


def size_guards(sizes: Sizes) -> Iterator[Guard]:
    """Yield the guards on the size that speak."""
    if not sizes.has_mark:
        text = (
            "no sweep was applied here before: the first one only looks and sets its mark,"
            " the next one acts (or: cc-sweep apply --force --stops N)"
        )
        yield _size("first", text)
    threshold = stops_threshold(sizes.running_there)
    if sizes.stops > threshold:
        text = (
            f"{sizes.stops} stops of {sizes.running_there} running jobs at cc-backend are more"
            f" than {threshold}"
        )
        yield _size("stops", text + _NEXT)
    if sizes.candidates:
        yield from _running_guards(sizes)


def _running_guards(sizes: Sizes) -> Iterator[Guard]:
    before = sizes.running_before or 0
    if sizes.running == 0:
        text = f"Slurm lists no running job, cc-backend {sizes.running_there}"
        yield _size("none", text + _NEXT)
    elif before >= MANY_RUNNING and sizes.running < before * RUNNING_SHARE:
        text = (
            f"Slurm lists {sizes.running} running jobs, less than {RUNNING_SHARE:.0%} of the"
            f" {before} of the last sweep"
        )
        yield _size("fewer", text + _NEXT)


def stops_threshold(running_there: int) -> int:
    """Return how many stops pass at once."""
    return max(FEW_STOPS, int(running_there * STOPS_SHARE))


_NEXT = "; stops are held: the next sweep applies those that it plans again and accounting proves"


def _answer(name: str, text: str) -> Guard:
    return Guard(name=name, kind=GuardKind.ANSWER, text=f"{text}; no stops")


def _size(name: str, text: str) -> Guard:
    return Guard(name=name, kind=GuardKind.SIZE, text=text)

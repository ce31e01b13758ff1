"""Safety checks: when a sweep must not trust what it sees. Pure.

Doubt about an answer voids all stops, and no option overrides it. Starts are still reported,
because a start that is too early does no harm. If an answer is about another cluster, nothing is
reported. A surprising number of stops is held back until the next sweep, with fresh answers, plans
them again. Every message has the numbers and the next step.
"""

from __future__ import annotations

from collections.abc import Iterator

from slurm.light_dataclass import light_dataclass
from spool.files.sweep_state import FIRST_SWEEP
from sweeper.values import GuardFinding, GuardKind

# octoDNS refuses plans above 30 %, directory synchronisation above 500 objects; a stop cannot be
# undone, so that here 20 % is the limit. A share of fewer than ten jobs says nothing. In its first
# two minutes slurmctld may still recover jobs from its state files.
FEW_STOPS = 20
STOPS_SHARE = 0.2
MANY_RUNNING = 10
RUNNING_SHARE = 0.5
BOOT_SECONDS = 120
CLOCK_SECONDS = 60
MANY_STOPS = "stops"
RUNNING_GUARDS = frozenset({"none", "fewer"})


@light_dataclass
class AnswerCheckInput:
    """The inputs of `check_answers`: failed queries, and facts about who answered.

    `failed` are findings of questions without a complete answer. `sees_all_jobs` is False where
    other users' jobs may be hidden from us. `boot_time` is when slurmctld started,
    `is_reconfigured` whether `scontrol reconfigure` did that, `controller_clock` its clock and
    `clock` ours at the same moment; None where not known. `cluster` is Slurm's own name,
    `known_cluster` that of the sweeps before; `foreign_cluster` a cluster of cc-backend's listing
    that was not asked for.
    """

    failed: tuple[GuardFinding, ...] = ()
    sees_all_jobs: bool = True
    boot_time: int | None = None
    is_reconfigured: bool = False
    controller_clock: int | None = None
    clock: int = 0
    cluster: str = ""
    known_cluster: str | None = None
    foreign_cluster: str | None = None


@light_dataclass
class SizeCheckInput:
    """The inputs of `check_sizes`: how many stops are planned, and how many jobs are running.

    `candidates` run at cc-backend and not in Slurm, with or without a proven end. `running_before`
    is how many jobs the last sweep saw running in Slurm, None before the first sweep.
    """

    stops: int
    candidates: int
    running_at_backend: int
    running_in_slurm: int
    running_before: int | None
    has_mark: bool


def check_answers(answers: AnswerCheckInput, *, has_stops: bool = True) -> Iterator[GuardFinding]:
    """Yield a finding for each answer that cannot be trusted.

    `has_stops`: stops are planned; only then is a recent start of slurmctld a finding.
    """
    yield from answers.failed
    # Another cluster's answer would make each job of this one look ended, and each of that one
    # missing.
    if answers.known_cluster is not None and answers.cluster != answers.known_cluster:
        text = (
            f"Slurm's cluster is {answers.cluster!r}, but at the last sweep it was"
            f" {answers.known_cluster!r}; check slurm.conf; only if the cluster was renamed, remove"
            " sweep.json from spool.state_directory"
        )
        yield _answer_finding("cluster", text, voids_starts=True)
    if answers.foreign_cluster is not None:
        text = (
            f"cc-backend lists jobs of cluster {answers.foreign_cluster!r}, which was not asked for"
        )
        yield _answer_finding("listing", text, voids_starts=True)
    # Hidden jobs would look ended. Starts are safe: the visible jobs are of this cluster.
    if not answers.sees_all_jobs:
        text = (
            "PrivateData hides other users' jobs from the service user; give it AdminLevel"
            " Operator (sacctmgr modify user)"
        )
        yield _answer_finding("rights", text)
    yield from _check_times(answers, has_stops=has_stops)


def is_fresh(boot_time: int | None, clock: int | None) -> bool:
    """Return whether slurmctld started so recently that it may still recover jobs."""
    return boot_time is not None and clock is not None and clock - boot_time < BOOT_SECONDS


def _check_times(answers: AnswerCheckInput, *, has_stops: bool) -> Iterator[GuardFinding]:
    clock = answers.controller_clock
    if clock is None:
        return
    # Since 23.11 `scontrol reconfigure` changes BOOT_TIME as well, but nothing is to be recovered
    # then: the new process has all jobs before it answers. And where there is no stop, there is
    # nothing to protect: no alarm after each restart of slurmctld.
    if is_fresh(answers.boot_time, clock) and not answers.is_reconfigured and has_stops:
        text = (
            f"slurmctld has been up for {clock - (answers.boot_time or 0)} s and may still recover"
            f" jobs until {BOOT_SECONDS} s after its start"
        )
        yield _answer_finding("boot", text, is_transient=True)
    # Ages and ends would be judged by a wrong clock.
    if abs(clock - answers.clock) > CLOCK_SECONDS:
        text = (
            f"this host's clock differs from slurmctld's by {answers.clock - clock} s, more than"
            f" {CLOCK_SECONDS} s; check the time service"
        )
        yield _answer_finding("clock", text)


def check_first_sweep(sizes: SizeCheckInput) -> Iterator[GuardFinding]:
    """Yield a finding if no sweep was applied here before."""
    if not sizes.has_mark:
        text = (
            "no sweep has been applied here yet: the first `cc-sweep apply` only stores its time,"
            " the next one repairs; to repair now: `cc-sweep apply --force --stops N`, N: the"
            " most stops to allow"
        )
        yield GuardFinding(name=FIRST_SWEEP, kind=GuardKind.FIRST, text=text, is_transient=True)


def check_sizes(sizes: SizeCheckInput) -> Iterator[GuardFinding]:
    """Yield a finding for each surprising number; of the first sweep only that it is the first."""
    if not sizes.has_mark:
        yield from check_first_sweep(sizes)
        return  # it holds everything back already
    # A floor, so that a small site or a quiet night is not stopped by a share of ten jobs.
    threshold = max(FEW_STOPS, int(sizes.running_at_backend * STOPS_SHARE))
    if sizes.stops > threshold:
        text = (
            f"{sizes.stops} of {sizes.running_at_backend} running jobs at cc-backend would be"
            f" stopped, more than {threshold}; stops are held back: the next sweep sends those that"
            " it plans again and that accounting confirms"
        )
        yield GuardFinding(name=MANY_STOPS, kind=GuardKind.SIZE, text=text)
    # Without candidates nothing can be stopped: an empty queue is normal on a new or an idle
    # cluster.
    if sizes.candidates:
        yield from _check_running(sizes)


def _check_running(sizes: SizeCheckInput) -> Iterator[GuardFinding]:
    before = sizes.running_before or 0
    step = "; stops are held back; the next sweep sends those that it still finds necessary"
    if sizes.running_in_slurm == 0:
        text = f"Slurm lists no running jobs, but cc-backend lists {sizes.running_at_backend}"
        yield GuardFinding(name="none", kind=GuardKind.SIZE, text=text + step)
    elif before >= MANY_RUNNING and sizes.running_in_slurm < before * RUNNING_SHARE:
        text = (
            f"Slurm lists {sizes.running_in_slurm} running jobs, fewer than {RUNNING_SHARE:.0%}"
            f" of the {before} jobs at the last sweep"
        )
        yield GuardFinding(name="fewer", kind=GuardKind.SIZE, text=text + step)


def _answer_finding(
    name: str, text: str, *, is_transient: bool = False, voids_starts: bool = False
) -> GuardFinding:
    effect = "nothing is reported" if voids_starts else "no stops are reported"
    return GuardFinding(
        name=name,
        kind=GuardKind.ANSWER,
        text=f"{effect}: {text}",
        is_transient=is_transient,
        voids_starts=voids_starts,
    )

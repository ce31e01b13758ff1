"""A model test of a whole site: every run is delivered, whatever fails in between.

Jobs begin, end and are requeued; hooks run twice; the drain crashes at any call; cc-backend is
down, halts, rejects, loses replies; Slurm is silent or shows no jobs; dead letters are
retried or discarded. Oracle: no row is lost, unexpected or double, and no running job is stopped.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import replace

import dead_letter_changes
from crashing_world import CrashingWorld, LossyBackend
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from open_files import temporary_directory

from ccbackend.outcomes import Reason
from slurm.job import Job
from spool.files.inventory import RunFile, read_dead
from spool.files.layout import Layout

JOBS = st.integers(1, 4)
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "40"))
END_STATES = st.sampled_from(["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"])
Key = tuple[int, int]


class Everything(RuleBasedStateMachine):
    """The rules; `truth` has the real end state of each run, None while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.site = CrashingWorld(self._stack.enter_context(temporary_directory()))
        self.truth: dict[Key, str | None] = {}
        self.given_up: set[int] = set()

    def record(self, job_id: int) -> Job | None:
        """Return the controller's record of a job."""
        return self.site.slurm.records.get(job_id)

    def live(self) -> dict[int, int]:
        """Return the start times of the runs under way by job id."""
        return {job_id: start for (job_id, start), state in self.truth.items() if state is None}

    @rule(job_id=JOBS, twice=st.booleans())
    def begin(self, job_id: int, *, twice: bool) -> None:
        """Begin a job, or the next run of a requeued job."""
        record = self.record(job_id)
        if job_id in self.live() or (record is None) != (not self._runs(job_id)):
            return
        if record is not None and record.state != "PENDING":
            return
        self.site.now = float(int(self.site.now) + 10)
        start = int(self.site.now)
        if record is None:
            self.site.begin(job_id)
        else:
            again = replace(record, state="RUNNING", start_time=start, nodes=("n1",))
            self.site.slurm.records[job_id] = again
            self.site.hook("start", job_id)
        self.truth[job_id, start] = None
        if twice:
            self.site.hook("start", job_id, start=start)

    @rule(job_id=JOBS, state=END_STATES, twice=st.booleans())
    def end(self, job_id: int, state: str, *, twice: bool) -> None:
        """Let a run end."""
        if job_id in self.live():
            self.site.now += 2
            self.truth[job_id, self.live()[job_id]] = state
            self.site.end(job_id, state)
            if twice:
                self.site.hook("stop", job_id)

    @rule(job_id=JOBS)
    def requeue(self, job_id: int) -> None:
        """End a run, and requeue its job."""
        if job_id in self.live():
            self.site.now += 2
            self.truth[job_id, self.live()[job_id]] = "REQUEUED"
            record = self.site.slurm.records[job_id]
            self.site.requeue(job_id)
            restarts = (record.restart_count or 0) + 1
            waiting = replace(self.site.slurm.records[job_id], restart_count=restarts)
            self.site.slurm.records[job_id] = waiting

    @rule(job_id=JOBS)
    def purge(self, job_id: int) -> None:
        """Purge an ended job from the controller; accounting still has it."""
        record = self.record(job_id)
        if record is not None and record.end_time is not None:
            del self.site.slurm.records[job_id]

    @rule(steps=st.integers(1, 60), seconds=st.sampled_from([0.01, 0.05, 0.3, 5.0]))
    def work(self, steps: int, seconds: float) -> None:
        """Let the drain work."""
        self.site.work(steps, seconds)

    @rule()
    def die(self) -> None:
        """Kill the drain between two passes."""
        self.site.die()

    @rule(calls=st.integers(1, 25))
    def die_while_writing(self, calls: int) -> None:
        """Kill the drain at one of its next calls."""
        self.site.calls.left = calls
        self.site.work(30, 0.1)

    @rule(
        reason=st.sampled_from([None, None, Reason.UNREACHABLE, Reason.BUSY, Reason.TOKEN_REFUSED])
    )
    def turn(self, reason: Reason | None) -> None:
        """Make cc-backend fail with a reason, or let it work again."""
        self.site.backend.everything = reason
        self.site.health.cause_changed(self.site.moment)

    @rule(number=st.integers(1, 3))
    def lose_replies(self, number: int) -> None:
        """Lose replies of requests that took effect."""
        self.backend.lost = number

    @rule(job_id=JOBS)
    def refuse(self, job_id: int) -> None:
        """Make cc-backend reject a job for good."""
        self.site.backend.answers[job_id] = Reason.BAD_REQUEST

    @rule()
    def repair(self) -> None:
        """Repair the cause of rejections."""
        self.site.backend.answers.clear()

    @rule(silent=st.booleans(), accounting_silent=st.booleans())
    def silence(self, *, silent: bool, accounting_silent: bool) -> None:
        """Make the controller or accounting stop answering, or answer again."""
        self.site.slurm.silent, self.site.slurm.accounting_silent = silent, accounting_silent

    @rule(steps=st.integers(1, 30))
    def fake_answers(self, steps: int) -> None:
        """Let squeue show nothing for a while, although jobs run."""
        records, self.site.slurm.records = self.site.slurm.records, {}
        self.site.work(steps, 0.2)
        self.site.slurm.records = records

    @rule()
    def retry(self) -> None:
        """Retry all dead letters."""
        with Layout(self.site.root) as layout:
            for dead_letter in list(read_dead(layout)):
                with suppress(FileNotFoundError):
                    dead_letter_changes.retry(layout, dead_letter.name)

    @precondition(lambda self: self.site.backend.answers)
    @rule()
    def discard(self) -> None:
        """Discard all dead letters."""
        with Layout(self.site.root) as layout:
            for dead_letter in list(read_dead(layout)):
                if isinstance(dead_letter, RunFile):
                    self.given_up.add(dead_letter.run.job_id)
                dead_letter_changes.discard(layout, dead_letter.name)

    @invariant()
    def no_running_job_is_stopped(self) -> None:
        """A job that squeue does not show may still run."""
        for key, state in self.site.backend.rows.items():
            assert key in self.truth, f"row {key} of no run"
            assert state == "running" or self.truth[key] is not None, f"{key} runs and was stopped"

    def teardown(self) -> None:
        """Repair everything; then every run must have its row, and ended runs their stop."""
        self.site.slurm.silent = self.site.slurm.accounting_silent = False
        self.site.backend.everything = None
        self.backend.lost = 0
        self.repair()
        self.site.health.cause_changed(self.site.moment)
        for steps, seconds in ((40, 0.05), (40, 5.0), (30, 60.0), (20, 700.0)):
            self.retry()
            self.site.work(steps, seconds)
            self.site.now += 3600  # open runs are compared with the job list
        self.site.drain.flush()
        last = {job_id: max(self._runs(job_id)) for job_id, _ in self.truth}
        wanted = {
            (job_id, start): self.truth[job_id, start] is None
            for job_id, start in last.items()
            if job_id not in self.given_up
        }
        rows = {
            key: state == "running"
            for key, state in self.site.backend.rows.items()
            if key[0] not in self.given_up
        }
        files = self.site.files()
        self._stack.close()
        assert wanted == rows
        still = {f"{job_id}-{start}.json" for job_id, start in self.live().items()}
        assert {"tmp"} >= files.keys() - {"open"}  # a crash leaves temporary files
        assert {*files.get("open", ())} <= still

    @property
    def backend(self) -> LossyBackend:
        """Return the server."""
        assert isinstance(self.site.backend, LossyBackend)
        return self.site.backend

    def _runs(self, job_id: int) -> list[int]:
        return [start for known, start in self.truth if known == job_id]


TestEverything = Everything.TestCase
TestEverything.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)

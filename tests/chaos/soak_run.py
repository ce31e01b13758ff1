"""The traffic and the faults of a soak, and the checks after it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator
from typing import Any

from chaos import oracle
from chaos.harness import World
from chaos.injection import Kind, ServerFault, SlurmFault, wait_for
from chaos.job import Run
from chaos.oracle import Verdict
from chaos.soak_report import Report

FAULTS = ("poison", "loss", "kill", "sweep", "server", "slurm", "clock")
LOST_SHARE = 0.2
MISSED_SHARE = 0.03
KILL_SECONDS = 15.0
SWEEP_SECONDS = 60.0
SERVER_SECONDS = 40.0
HANG_SECONDS = 45.0
STEP_SECONDS = 50.0
DOWN_SECONDS = 8.0
HANGING_SECONDS = 4.0
STEPPED_SECONDS = 10.0
LONGEST_DRAIN_START = 10.0
LAST_SWEEPS = 4
QUIET_SECONDS = 60.0
HOLD_SECONDS = 5.0
HOUR = 3600.0
MARKER = "wget http://disliked.example"
PAGE = "<!DOCTYPE html><title>Welcome</title>"


class Soak:
    """One soak; all random choices follow from the seed."""

    def __init__(
        self, world: World, *, rate: float, seed: int, without: Collection[str] = ()
    ) -> None:
        self.world = world
        self.random = world.shapes.random
        self.report = Report(seed)
        self._pause = 1 / rate
        self._ends: list[tuple[float, Run, bool]] = []
        self._poisoned: set[int] = set()
        self._sweeping: threading.Thread | None = None
        self._memory: list[int] = []
        self._without = frozenset(without)
        actions = {
            "kill": (KILL_SECONDS, self._kill),
            "sweep": (SWEEP_SECONDS, self._sweep),
            "server": (SERVER_SECONDS, self._stop_server),
            "slurm": (HANG_SECONDS, self._hang),
            "clock": (STEP_SECONDS, self._step),
        }
        self._actions = [each for name, each in actions.items() if name not in self._without]

    def run(self, seconds: float) -> Report:
        """Run traffic and faults, then wait until nothing is pending; return the report."""
        self.world.start_drain()
        self._sweep_once()  # the first sweep of a site changes nothing
        if "poison" not in self._without:
            self._poison()
        if "loss" not in self._without:
            self.world.backend.faults.inject(ServerFault(kind=Kind.LOSE, chance=LOST_SHARE))
        self._traffic(seconds)
        self._finish()
        return self.report

    # traffic

    def _traffic(self, seconds: float) -> None:
        """Start and end jobs at the wanted rate, while faults begin and end."""
        timers = [_every(period, action) for period, action in self._actions]
        began = time.monotonic()
        number = 0
        while time.monotonic() - began < seconds:
            due = began + number * self._pause
            number += 1
            time.sleep(max(0.0, due - time.monotonic()))
            self._event()
            for timer in timers:
                next(timer)
        for timer in timers:
            timer.close()

    def _event(self) -> None:
        """End the job that is due to end, else start one."""
        now = time.monotonic()
        if self._ends and min(self._ends, key=_when)[0] <= now:
            entry = min(self._ends, key=_when)
            self._ends.remove(entry)
            self.world.end(entry[1], self.world.shapes.end_state(), hook=entry[2])
            return
        is_seen = self.random.random() >= MISSED_SHARE
        wishes = {} if is_seen else {"nodes": (f"c{self.random.randrange(1, 17):03}",)}
        run = self.world.begin(hook=is_seen, **wishes)
        # Slurm shows GPUs only while a job runs: the drain must have time to ask for them
        least = DOWN_SECONDS + LONGEST_DRAIN_START + HANGING_SECONDS if run.gpus else 1.0
        life = least + self.random.expovariate(1 / 6)
        self._ends.append((now + life, run, self.random.random() >= MISSED_SHARE))

    def _poison(self) -> None:
        """Start one run for each kind of poison: its requests fail until the poison is lifted."""
        kinds = (
            ServerFault(kind=Kind.STATUS, status=500, text="upstream failed"),
            ServerFault(kind=Kind.STATUS, status=500),
            ServerFault(kind=Kind.STATUS, status=503, text="busy"),
            ServerFault(kind=Kind.STATUS, status=200, text=PAGE, content_type="text/html"),
            ServerFault(kind=Kind.RESET),
            ServerFault(kind=Kind.SILENCE),
        )
        for kind in kinds:
            job_id = self.world.shapes.new_id()
            fault = {"job_ids": frozenset((job_id,)), "endpoints": ("start",)}
            self.world.backend.faults.inject(_changed(kind, **fault))
            self.world.begin(job_id=job_id)
            self._poisoned.add(job_id)
        refused = ServerFault(kind=Kind.STATUS, status=403, containing=MARKER.encode(), text=PAGE)
        self.world.backend.faults.inject(refused)
        run = self.world.begin(script=f"#!/bin/sh\n{MARKER}\n")
        self.world.refused.add(run.job_id)
        self._poison_stop()

    def _poison_stop(self) -> None:
        run = self.world.begin()
        fault = ServerFault(
            kind=Kind.STATUS,
            endpoints=("stop",),
            job_ids=frozenset((run.job_id,)),
            status=500,
            text="upstream failed",
        )
        self.world.backend.faults.inject(fault)
        self._poisoned.add(run.job_id)
        self._ends.append((time.monotonic() + LONGEST_DRAIN_START * 2, run, True))

    # faults; each yields until it is over

    def _kill(self) -> Iterator[None]:
        self._note_memory_growth()
        self.world.kill_drain()
        self.world.start_drain()
        self.report.kills += 1
        began = time.monotonic()
        while time.monotonic() - began < KILL_SECONDS / 3:
            yield
        self._memory = [self.world.resident_bytes()]

    def _note_memory_growth(self) -> None:
        """Record how much the drain's memory has grown since some seconds after its start."""
        now = self.world.resident_bytes()
        if self._memory and now:
            self.report.growth_bytes = max(self.report.growth_bytes, now - self._memory[0])

    def _sweep(self) -> Iterator[None]:
        if self._sweeping is None or not self._sweeping.is_alive():
            self._sweeping = threading.Thread(target=self._sweep_once, daemon=True)
            self._sweeping.start()
        yield

    def _sweep_once(self) -> None:
        self.report.sweeps.append(self.world.sweep())

    def _stop_server(self) -> Iterator[None]:
        self.world.backend.stop()
        yield from _for(DOWN_SECONDS)
        self.world.backend.start()

    def _hang(self) -> Iterator[None]:
        command = self.random.choice((None, "squeue", "sacct", "scontrol"))
        hanging = self.world.slurm.faults.inject(SlurmFault(command=command, hangs=True))
        yield from _for(HANGING_SECONDS)
        self.world.slurm.faults.lift(hanging)

    def _step(self) -> Iterator[None]:
        self.world.step_wall_clock(HOUR)
        yield from _for(STEPPED_SECONDS)
        self.world.step_wall_clock(0.0)

    # the end

    def _finish(self) -> None:
        """End all faults but the poison, then all jobs; wait for delivery; lift the poison."""
        world, report = self.world, self.report
        report.runs = len(world.runs)
        self._end_faults()
        healthy = [run for run in world.runs if run.job_id not in self._poisoned | world.refused]
        began = time.monotonic()
        refused = set(world.refused)
        world.refused |= self._poisoned
        wait_for(lambda: len(world.delivered(_live(healthy))) == len(_live(healthy)), 30)
        for run in _live(healthy):
            world.end(run, world.shapes.end_state())
        for _ in range(LAST_SWEEPS):
            if oracle.judge(world):
                self._sweep_once()
        left = QUIET_SECONDS + HOLD_SECONDS - (time.monotonic() - began)
        if wait_for(lambda: not oracle.judge(world), max(left, 1.0)) is not None:
            report.quiet_seconds = time.monotonic() - began
        self._note_memory_growth()
        report.verdict = oracle.judge(world)
        world.refused = refused
        self._cure()

    def _end_faults(self) -> None:
        world = self.world
        for injected in world.backend.faults.live:
            fault = injected.fault
            if isinstance(fault, ServerFault) and fault.kind is Kind.LOSE:
                world.backend.faults.lift(injected)
        world.slurm.faults.lift_all()
        world.step_wall_clock(0.0)
        if not world.backend.is_up:
            world.backend.start()
        if self._sweeping is not None:
            self._sweeping.join(SWEEP_SECONDS)

    def _cure(self) -> None:
        """Lift the poison: after some hours everything must have been delivered."""
        world = self.world
        world.backend.faults.lift_all()
        for run in _live(world.runs):
            world.wait_delivered([run], 1)
        world.let_pass(6 * HOUR, step=600, pause=0.2)
        for run in _live(world.runs):
            world.end(run)
        left = oracle.settle(world, 10, passing=600)
        if world.backend.is_old:
            left = Verdict(text for text in left if not self._was_refused_whole(text))
        self.report.after_cure = left
        self.report.cured = not self.report.after_cure

    def _was_refused_whole(self, text: str) -> bool:
        """Return whether a complaint is about a script that an old server did not get.

        A start that is rejected repeatedly is sent without its script, perhaps in the second in
        which the poison is lifted; only from 1.5.0 on the script can be added later.
        """
        names = {f"job {job_id}" for job_id in self._poisoned}
        return " jobScript is None " in text and text.partition(" (")[0] in names


def _every(period: float, action: Callable[[], Iterator[None]]) -> Generator[None, None, None]:
    """Yield forever; begin the action each time the period is over."""
    while True:
        yield from _for(period)
        yield from action()


def _for(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        yield


def _when(entry: tuple[float, Run, bool]) -> float:
    return entry[0]


def _live(runs: list[Run]) -> list[Run]:
    return [run for run in runs if run.end is None]


def _changed(fault: ServerFault, **changes: Any) -> ServerFault:
    return ServerFault(**(vars(fault) | changes))

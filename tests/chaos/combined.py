"""Several faults at once, chosen by a seed, while jobs start and end."""

from __future__ import annotations

import random
import time
from pathlib import Path

from chaos import faults, oracle
from chaos.fault_class import Begin, FaultClass, Lift
from chaos.faults_here import JSON_DIES, JSON_DIES_LATE, NO_CONTROLLER, slurm_lasting
from chaos.harness import World
from chaos.injection import Kind, ServerFault, SlurmFault
from chaos.job import Run
from chaos.oracle import Verdict
from chaos.slurm import NEW, OLD

STEPS = 12
STEP_SECONDS = 0.6
RUNS_A_STEP = 4
FAULTS_AT_ONCE = 3
FIRST_SECONDS = 20.0
SETTLED_SECONDS = 20.0
PASSING_SECONDS = 1800.0


def server_down(world: World) -> Lift:
    """Take the server down."""
    world.backend.stop()
    return world.backend.start


def drain_killed(world: World) -> Lift:
    """Kill the drain."""
    world.kill_drain()
    return world.start_drain


def lost_answers(world: World) -> Lift:
    """Drop about every third answer of the server after it has processed the request."""
    return faults.lasting(world, ServerFault(kind=Kind.LOSE, chance=0.3))


def dripping_answers(world: World) -> Lift:
    """Send every tenth answer one byte at a time."""
    return faults.lasting(world, ServerFault(kind=Kind.DRIP, chance=0.1))


def _slurm(fault: SlurmFault) -> Begin:
    return lambda world: slurm_lasting(world, fault)


MORE = (
    FaultClass(name="server down", begin=server_down),
    FaultClass(name="drain killed", begin=drain_killed),
    FaultClass(name="answers lost", begin=lost_answers),
    FaultClass(name="answers drip", begin=dripping_answers),
    FaultClass(name="squeue hangs", begin=_slurm(SlurmFault(command="squeue", hangs=True))),
    FaultClass(name="scontrol hangs", begin=_slurm(SlurmFault(command="scontrol", hangs=True))),
    FaultClass(name="sacct hangs", begin=_slurm(SlurmFault(command="sacct", hangs=True))),
    FaultClass(name="Slurm late", begin=_slurm(SlurmFault(seconds=1.0))),
    FaultClass(name="Slurm away", begin=_slurm(SlurmFault(status=1, stderr=NO_CONTROLLER))),
    FaultClass(name="JSON dies", begin=_slurm(JSON_DIES)),
    FaultClass(name="JSON dies late", begin=_slurm(JSON_DIES_LATE)),
)
EXCLUSIVE = frozenset({"P0 poisoned stop"})
"""Classes that wait at their beginning for something that another class may prevent."""
CHOICE = tuple(
    each
    for each in (
        *MORE,
        *faults.POISON,
        *faults.FIREWALLS,
        *faults.TOKENS,
        *faults.HOSTS[:1],
        *faults.SILENCES,
    )
    if each.name not in EXCLUSIVE
)


class Combination:
    """A seeded sequence of faults that begin and end."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self._timely = random.Random(seed)  # for draws that depend on delivered runs
        self.history: list[str] = []
        self._lifts: list[tuple[FaultClass, Lift]] = []
        self._live: list[Run] = []

    def run(self) -> Verdict:
        """Begin and lift faults step by step, then lift all; return what is wrong at the end."""
        world = self.world
        world.start_drain()
        self._live = world.several(RUNS_A_STEP)
        assert world.wait_delivered(self._live, FIRST_SECONDS) is not None, "nothing works at all"
        for _ in range(STEPS):
            self._change()
            self._live += world.several(RUNS_A_STEP)
            time.sleep(STEP_SECONDS)
            self._end_known()
        for _, lift in self._lifts:
            lift()
        after = world.several(RUNS_A_STEP)
        for _ in range(int(PASSING_SECONDS // 60)):
            if world.wait_delivered([*self._live, *after], 2.0) is not None:
                break
            world.let_pass(60)
        for run in (*self._live, *after):
            world.end(run, world.shapes.end_state())
        return oracle.settle(world, SETTLED_SECONDS, passing=PASSING_SECONDS)

    def _change(self) -> None:
        """Lift a fault, or begin one that is not active yet."""
        names = {fault.name for fault, _ in self._lifts}
        if len(names) >= FAULTS_AT_ONCE or (names and self.random.random() < 0.4):
            fault, lift = self._lifts.pop(self.random.randrange(len(self._lifts)))
            self.history.append(f"end of {fault.name}")
            lift()
            return
        fault = self.random.choice([each for each in CHOICE if not _clash(each, names)])
        self.history.append(fault.name)
        self._lifts.append((fault, fault.begin(self.world)))

    def _end_known(self) -> None:
        """End some of the runs whose start has been delivered: their facts are known."""
        known = self.world.delivered(self._live)
        for run in self._timely.sample(known, len(known) // 3):
            self._live.remove(run)
            self.world.end(run, self.world.shapes.end_state())


def _clash(fault: FaultClass, names: set[str]) -> bool:
    """Return whether the fault, or one that would undo it, is active already.

    The token has only one state, and a drain that is started without a usable token ends, rightly.
    """
    return any(_group(name) == _group(fault.name) for name in names)


def _group(name: str) -> str:
    if name.startswith("P6") or name == "drain killed":
        return "token"
    return " ".join(name.split()[:2])


def combined(root: Path, seed: int) -> tuple[list[str], Verdict]:
    """Return the sequence of a seed and what was wrong after it; the seed chooses the releases."""
    version = ("1.5.4", "1.4.4")[seed % 2]
    release = (NEW, OLD)[seed // 2 % 2]
    with World(root / "world", version=version, release=release, seed=seed) as world:
        combination = Combination(world, seed)
        verdict = combination.run()
        return combination.history, verdict

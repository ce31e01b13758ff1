"""One fault alone: runs before it, while it lasts and after it, then the oracle."""

from __future__ import annotations

import time
from collections.abc import Sequence

from chaos import oracle
from chaos.faults import FaultClass
from chaos.harness import World
from chaos.job import Run
from chaos.oracle import Verdict

BEFORE, DURING, AFTER = 4, 20, 6
FIRST_SECONDS = 20.0
CALM_SECONDS = 2.0
CALM_SHARE = 0.35


def wait_running(world: World, fault: FaultClass, runs: Sequence[Run]) -> None:
    """Wait for runs before they end: of one that ends at once nobody can know the GPUs."""
    for _ in range(int(fault.passing // 10)):
        if world.wait_delivered(runs, 1.0) is not None:
            return
        world.let_pass(10)
    world.wait_delivered(runs, fault.settled_within)


def check_calm(world: World) -> None:
    """Complain if the drain works hard for two seconds in which nothing new happens."""
    before = world.cpu_seconds()
    time.sleep(CALM_SECONDS)
    share = (world.cpu_seconds() - before) / CALM_SECONDS
    if share > CALM_SHARE:
        world.complaints.append(f"the drain uses {share:.2f} cores while nothing new happens")


def run_alone(world: World, fault: FaultClass) -> Verdict:
    """Return what was wrong; new runs follow the fault."""
    world.start_drain()
    before = world.several(BEFORE)
    assert world.wait_delivered(before, FIRST_SECONDS) is not None, "nothing works at all"
    lift = fault.begin(world)
    during = world.several(DURING)
    if fault.others_within is None:
        time.sleep(fault.lasting)
    elif world.wait_delivered(during, fault.others_within) is None:
        late = len(during) - len(world.delivered(during))
        world.complaints.append(f"{late} of {len(during)} others waited {fault.others_within} s")
    if fault.is_calm:
        check_calm(world)
    lift()
    after = world.several(AFTER)
    wait_running(world, fault, (*during, *after))
    for run in (*before, *during[::2], *after[::2]):
        world.end(run, world.shapes.end_state())
    return oracle.settle(world, fault.settled_within, passing=fault.passing)

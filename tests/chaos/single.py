"""Run one fault alone, with jobs before, during and after it, then ask the oracle."""

from __future__ import annotations

import time

from chaos import oracle
from chaos.fault_class import FaultClass
from chaos.harness import World
from chaos.oracle import Verdict

BEFORE, DURING, AFTER = 4, 20, 6
FIRST_SECONDS = 20.0
LOOK_SECONDS = 0.5
STEP_SECONDS = 5.0
CALM_SECONDS = 2.0
CALM_SHARE = 0.35


def wait_repaired(world: World, fault: FaultClass) -> None:
    """Measure how long all starts take after the end of a fault, by the drain's clock.

    Runs end only after this wait: Slurm no longer shows the GPUs of a run that has ended.
    """
    runs = [run for run in world.runs if run.job_id not in world.refused]
    bound, began, took = fault.repaired_within, world.now(), None
    bound = fault.passing + fault.settled_within if bound is None else bound
    while took is None and world.now() - began < bound:
        if world.wait_delivered(runs, LOOK_SECONDS) is not None:
            took = world.now() - began
        elif fault.passing:
            world.let_pass(STEP_SECONDS)
    count = len(world.delivered(runs))
    world.measure(f"{count} of {len(runs)} starts after the repair", took, bound)


def check_calm(world: World) -> None:
    """Add a complaint if the drain uses much CPU for two seconds in which nothing new happens."""
    before = world.cpu_seconds()
    time.sleep(CALM_SECONDS)
    share = (world.cpu_seconds() - before) / CALM_SECONDS
    if share > CALM_SHARE:
        world.complaints.append(f"the drain uses {share:.2f} cores while nothing new happens")


def run_alone(world: World, fault: FaultClass) -> Verdict:
    """Run jobs before, during and after a fault; return what is wrong at the end."""
    world.start_drain()
    before = world.several(BEFORE)
    assert world.wait_delivered(before, FIRST_SECONDS) is not None, "nothing works at all"
    lift = fault.begin(world)
    during = world.several(DURING)
    if fault.others_within is None:
        time.sleep(fault.lasting)
    else:
        took = world.wait_delivered(during, fault.others_within)
        count = len(world.delivered(during))
        world.measure(f"{count} of {len(during)} others", took, fault.others_within)
    if fault.is_calm:
        check_calm(world)
    if fault.halts_nothing and "halted" in world.log.read_text():
        world.complaints.append("deliveries were halted")
    lift()
    after = world.several(AFTER)
    wait_repaired(world, fault)
    for run in (*before, *during[::2], *after[::2]):
        world.end(run, world.shapes.end_state())
    return oracle.settle(world, fault.settled_within, passing=fault.passing)

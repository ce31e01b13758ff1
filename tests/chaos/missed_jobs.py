"""Scenarios of jobs that hooks, sweep or accounting missed in part."""

from __future__ import annotations

import json

from chaos import oracle
from chaos.harness import World
from chaos.injection import wait_for
from chaos.job import Run
from chaos.oracle import Verdict

PASSING_SECONDS = 60.0
CLOSED_SECONDS = 140.0
CAPTURED_SECONDS = 20.0
SLOW_SECONDS = 3.0


def unseen_short_job(world: World) -> Verdict:
    """Let Slurm forget a job without hook events before the grace period of the sweep is over."""
    world.start_drain()
    world.wait_delivered(world.several(3), 20)
    world.sweep()
    run = world.begin(hook=False, nodes=("g01",))
    world.sweep()
    # the sweep writes an event, the drain asks Slurm: Slurm forgets the job as soon as it ends
    took = wait_for(lambda: _is_captured(world, run), CAPTURED_SECONDS)
    world.measure("facts stored after the sweep", took, CAPTURED_SECONDS)
    world.end(run, hook=False)
    world.let_pass(60, step=10)
    world.sweep()
    world.sweep()
    return _settled(world, 15)


def _is_captured(world: World, run: Run) -> bool:
    """Return whether the spool has a run with its script, which is stored last."""
    script = json.dumps(run.script).encode()
    name = f"{run.job_id}-"
    return any(
        script in path.read_bytes() for path in world.files("todo") if path.name.startswith(name)
    )


def end_without_accounting(world: World) -> Verdict:
    """Let only the epilog know an end: there is no accounting, and slurmctld forgets the job."""
    world.start_drain()
    runs = world.several(3)
    world.wait_delivered(runs, 20)
    world.end(runs[0])
    return _settled(world, 30)


def slow_epilog(world: World) -> Verdict:
    """Let an epilog, which alone knows the end, pause before it writes its file."""
    world.start_drain()
    runs = world.several(3)
    world.wait_delivered(runs, 20)
    world.end(runs[0], hook=False)
    world.call_hook("epilog_slurmctld", runs[0], pause=SLOW_SECONDS)
    return _settled(world, 30)


def _settled(world: World, seconds: float) -> Verdict:
    """Wait until nothing is wrong, and measure how long that takes by the drain's clock."""
    began = world.now()
    verdict = oracle.settle(world, seconds, passing=PASSING_SECONDS)
    world.measure("all facts there", world.now() - began, PASSING_SECONDS + seconds + 10)
    return verdict


def missed_without_accounting(world: World) -> Verdict:
    """Let only the events know a whole run: they contain hosts, user and times."""
    run = world.begin(nodes=("c001", "c002"))
    world.end(run)
    world.runs.remove(run)  # checked here: no source has its cores and script
    world.start_drain()
    began = world.now()
    wait_for(lambda: _is_closed(world, run), 20)
    while not _is_closed(world, run) and world.now() - began < CLOSED_SECONDS:
        world.let_pass(10)
    took = world.now() - began if _is_closed(world, run) else None
    world.measure("a run that only events know is closed", took, CLOSED_SECONDS)
    world.refused.add(run.job_id)
    dead = [path.name for path in world.files("dead")]
    world.complaints += [f"dead/{name} was not refused by the server" for name in dead]
    return Verdict(world.complaints)


def _is_closed(world: World, run: Run) -> bool:
    rows = [row for row in world.backend.rules.rows if row.key[::2] == run.key]
    hosts = [[each["hostname"] for each in row.document["resources"]] for row in rows]
    return hosts == [list(run.nodes)] and rows[0].stop_time == run.stop_time

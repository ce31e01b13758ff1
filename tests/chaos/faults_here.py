"""Fault classes of Slurm and of this host: commands, clocks, files."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from chaos.fault_class import Begin, FaultClass, Lift
from chaos.harness import World
from chaos.injection import SlurmFault, wait_for
from chaos.job import Run

NO_SUCH_JOB = b"slurm_load_jobs error: Invalid job id specified\n"
NO_CONTROLLER = b"slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
SEGMENTATION_FAULT = 139
FIRST_START_SECONDS = 3.0
ARRAY_TASKS = int(os.environ.get("CHAOS_ARRAY", "200"))
SCRIPTS_SECONDS = 60.0
LOOK_SECONDS = 0.25
HOUR = 3600.0
_IN_NAMESPACE = ("unshare", "--mount", "--propagation", "private")
_FULL = (
    'mount -t tmpfs -o size=64k,mode=755 none "$1" && { cat /dev/zero >"$1/filler"; } 2>/dev/null'
)


def slurm_lasting(world: World, fault: SlurmFault) -> Lift:
    """Inject a fault of Slurm; return the function that lifts it."""
    injected = world.slurm.faults.inject(fault)
    return lambda: world.slurm.faults.lift(injected)


def slurm_fault(fault: SlurmFault) -> Begin:
    """Return a `Begin`: a command fails, hangs or answers wrongly, and a job starts meanwhile."""

    def begin(world: World) -> Lift:
        lift = slurm_lasting(world, fault)
        world.begin()
        return lift

    return begin


def hanging_scripts(world: World) -> Lift:
    """Let `scontrol write batch_script` hang while eight jobs start at once."""
    lift = slurm_lasting(world, SCRIPT_HANGS)
    began = time.monotonic()
    runs = world.several(8)
    first = wait_for(lambda: world.delivered(runs), FIRST_START_SECONDS)
    took = None if first is None else time.monotonic() - began
    world.measure("first of 8 starts", took, FIRST_START_SECONDS)
    return lift


def hanging_slurm(command: str | None, *words: str) -> Begin:
    """Return a `Begin`: a command hangs while runs that do not need it wait for the server.

    The server is down until the command hangs, so that the facts of these runs are known.
    """

    def begin(world: World) -> Lift:
        forgotten = world.begin(purge_at=0.0)
        world.wait_delivered([forgotten], 10)
        world.backend.stop()
        stored = world.several(20)
        wait_stored(world, len(stored))
        lift = slurm_lasting(world, SlurmFault(command=command, words=words, hangs=True))
        world.end(forgotten)  # only accounting knows its end
        seen = len(world.backend.log)
        world.backend.start()
        for _ in range(6):  # the next attempt may be a minute away, and the command still hangs
            if len(world.backend.log) == seen:
                world.let_pass(10)
        first = wait_for(lambda: world.delivered(stored), 5)
        world.measure("first delivery after the server is back", first, 5)
        took = world.wait_delivered(stored, 5)
        world.measure(f"{len(world.delivered(stored))} of {len(stored)} stored runs", took, 5)
        return lift

    return begin


def wait_stored(world: World, count: int, seconds: float = 15.0) -> None:
    """Wait until `count` runs are in `todo/` and no event is left."""
    wait_for(lambda: len(world.files("todo")) >= count and not world.files("new"), seconds)


def failing_squeue(world: World) -> Lift:
    """Let squeue fail for five minutes."""
    fault = SlurmFault(command="squeue", status=1, stderr=NO_CONTROLLER)
    lift = slurm_lasting(world, fault)
    world.several(3)
    world.let_pass(300, step=15)
    return lift


def squeue_denies_job(world: World) -> Lift:
    """Let squeue deny that a job exists, while scontrol shows it and its script is there."""
    fault = SlurmFault(command="squeue", words=("-j",), status=1, stderr=NO_SUCH_JOB)
    lift = slurm_lasting(world, fault)
    run = world.begin(nodes=("c003",))
    time.sleep(2)
    world.end(run)
    time.sleep(2)
    return lift


def clock_set_back(world: World) -> Lift:
    """Set the clock back by an hour while the server is down, after it was an hour ahead."""
    world.kill_drain()
    world.step_wall_clock(HOUR)
    world.backend.stop()
    world.start_drain()
    world.several(4)
    time.sleep(3)
    world.step_wall_clock(0)
    return world.backend.start


def clock_set_back_without_slurm(world: World) -> Lift:
    """Set the clock back by an hour while Slurm fails, after it was an hour ahead."""
    world.kill_drain()
    world.step_wall_clock(HOUR)
    lift = slurm_lasting(world, SlurmFault(status=1, stderr=NO_CONTROLLER))
    world.start_drain()
    world.several(4)
    time.sleep(3)
    world.step_wall_clock(0)
    return lift


def stored_backlog(world: World) -> None:
    """Leave runs in `todo/` and in `open/`, with no drain and no server."""
    world.wait_delivered(world.several(4), 10)
    wait_for(lambda: len(world.files("open")) >= 4, 5)
    world.backend.stop()
    wait_stored(world, len(world.several(6)))
    world.kill_drain()


def full_state(world: World) -> Lift:
    """Start the drain while the file system of its state is full."""
    stored_backlog(world)
    state = str(world.root / "state")
    script = f'{_FULL}; shift; exec "$@"'
    user = () if os.geteuid() == 0 else ("--map-root-user",)
    world.wrapper = (*_IN_NAMESPACE, *user, "sh", "-c", script, "sh", state)
    world.backend.start()
    world.start_drain()
    time.sleep(3)
    return lambda: _free_state(world, state)


def _free_state(world: World, state: str) -> None:
    """Free the space in the drain's mount namespace; start the drain again if it has ended."""
    world.wrapper = ()
    assert world.drain is not None
    if world.drain.poll() is None:
        Path(f"/proc/{world.drain.pid}/root{state}/filler").unlink()
    else:
        world.kill_drain()
        world.start_drain()


def unreadable_run(world: World) -> Lift:
    """Start the drain while it may not read one run file."""
    stored_backlog(world)
    path = world.files("todo")[0]
    mode = path.stat().st_mode
    path.chmod(0)
    if os.geteuid() == 0:  # root ignores the mode unless it drops these two
        dropped = "-dac_override,-dac_read_search"
        world.wrapper = ("setpriv", "--inh-caps", dropped, "--bounding-set", dropped)
    world.backend.start()
    world.start_drain()

    def lift() -> None:
        for place in (path, *(world.root / "spool" / "dead").glob(path.name)):
            if place.exists():
                place.chmod(mode)

    return lift


def large_array(count: int) -> Begin:
    """Return a `Begin`: an array starts at once, and every task has script and description."""

    def begin(world: World) -> Lift:
        world.with_descriptions = True
        owner = world.shapes.new_id()
        script = f"#!/bin/sh\n# array {owner}\n"
        tasks = [
            world.begin(array=(owner, task), script=script, nodes=("c001",))
            for task in range(count)
        ]
        took = wait_for(lambda: _with_scripts(world, tasks) == count, SCRIPTS_SECONDS)
        found = _with_scripts(world, tasks)
        world.measure(f"scripts of {found} of {count} tasks", took, SCRIPTS_SECONDS)
        return lambda: None

    return begin


def _with_scripts(world: World, runs: Sequence[Run]) -> int:
    """Wait a moment, then return how many runs have their script at the server."""
    time.sleep(LOOK_SECONDS)
    with world.backend.rules.lock:
        rows = [row.document for row in world.backend.rules.rows]
    keys = {(row["jobId"], row["startTime"]) for row in rows if "jobScript" in row["metaData"]}
    return sum(run.key in keys for run in runs)


JSON_DIES = SlurmFault(command="squeue", words=("--json",), status=SEGMENTATION_FAULT)
JSON_DIES_LATE = SlurmFault(
    command="squeue", words=("--json",), status=SEGMENTATION_FAULT, stdout=b'{"meta": {"plug'
)
SCRIPT_HANGS = SlurmFault(command="scontrol", words=("write", "batch_script"), hangs=True)
WITHOUT_FILES = {"has_state_files": False}
FILES = (
    FaultClass(name="P3 state is full", begin=full_state, passing=120),
    FaultClass(name="P3 one run unreadable", begin=unreadable_run, others_within=10, passing=300),
)
SLURM = (
    FaultClass(
        name="P4 scripts hang",
        begin=hanging_scripts,
        others_within=8,
        settled_within=30,
        passing=120,
        options=WITHOUT_FILES,
    ),
    FaultClass(name="P12 JSON dies", begin=slurm_fault(JSON_DIES), others_within=10),
    FaultClass(name="P12 JSON dies late", begin=slurm_fault(JSON_DIES_LATE), others_within=10),
    FaultClass(
        name="P13 squeue is back", begin=failing_squeue, repaired_within=8, settled_within=8
    ),
    FaultClass(name="P15 squeue denies a job", begin=squeue_denies_job),
)
CLOCKS = (
    FaultClass(name="P7 clock set back, no server", begin=clock_set_back, passing=70),
    FaultClass(name="P7 clock set back, no Slurm", begin=clock_set_back_without_slurm, passing=40),
)
ARRAYS = (
    FaultClass(
        name="P9 array with files",
        begin=large_array(ARRAY_TASKS),
        others_within=30,
        settled_within=60,
    ),
    FaultClass(
        name="P9 array without files",
        begin=large_array(ARRAY_TASKS),
        others_within=30,
        settled_within=60,
        options=WITHOUT_FILES,
    ),
)
SLURM_HANGS = (
    FaultClass(name="P8 squeue hangs", begin=hanging_slurm("squeue"), passing=120),
    FaultClass(name="P8 sacct hangs", begin=hanging_slurm("sacct"), passing=120),
    FaultClass(name="P8 scontrol hangs", begin=hanging_slurm("scontrol"), passing=120),
    FaultClass(name="P8 slurmctld is stopped", begin=hanging_slurm(None), passing=120),
)
CLASSES_HERE = (*FILES, *SLURM, *CLOCKS, *SLURM_HANGS, *ARRAYS)

"""The scenario of a large backlog: commands and a drain with 100 000 pending runs."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

from chaos.harness import World
from chaos.injection import wait_for
from chaos.oracle import Verdict

COUNT = int(os.environ.get("CHAOS_BACKLOG", "100000"))
FIRST_ID = 2_000_000
LOOKS = (("status", 0.5), ("check", 0.5), ("show 2090007", 0.5), ("list", 1.0))
TRIES = 6
START_SECONDS = 5.0
SOME, SOME_SECONDS = 2000, 60.0
MEBIBYTES = 100.0


def large_backlog(world: World) -> Verdict:
    """Check the time of commands and the start-up and memory of a drain with a large backlog."""
    world.start_drain()
    world.backend.stop()
    run = world.begin()
    wait_for(lambda: world.files("todo") and not world.files("new"), 20)
    world.kill_drain()
    _copy(world.files("todo")[0], run.job_id)
    rows = world.backend.rules.rows
    world.backend.start()
    world.start_drain()
    first = wait_for(lambda: rows, START_SECONDS)
    world.measure("start-up to first delivery", first, START_SECONDS)
    wait_for(lambda: len(rows) >= SOME, SOME_SECONDS)
    world.backend.stop()
    for words, bound in LOOKS:
        took = _least_seconds(world, words, bound)
        world.measure(f"cc-spool {words} with {COUNT - len(rows)} runs", took, bound)
    world.measure("peak memory of the drain", _peak_mebibytes(world), MEBIBYTES, "MiB")
    world.kill_drain()
    shutil.rmtree(world.root / "spool" / "todo")
    return Verdict(world.complaints)


def _copy(original: Path, job_id: int) -> None:
    """Write copies of a run's file, each with another job id."""
    text = original.read_text()
    for number in range(FIRST_ID, FIRST_ID + COUNT):
        path = original.with_name(original.name.replace(str(job_id), str(number)))
        path.write_text(text.replace(str(job_id), str(number)))


def _least_seconds(world: World, words: str, bound: float) -> float:
    """Return the least CPU time of several tries, so that other load does not count.

    The commands wait for nothing: on an idle machine their wall time is about the same.
    """
    least = float("inf")
    for _ in range(TRIES):
        before = _cpu_seconds()
        world.command("cc-spool", *words.split())
        least = min(least, _cpu_seconds() - before)
        if least <= bound:
            break
    return least


def _cpu_seconds() -> float:
    """Return the CPU time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak_mebibytes(world: World) -> float:
    """Return the peak resident memory of the drain."""
    assert world.drain is not None
    text = Path(f"/proc/{world.drain.pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

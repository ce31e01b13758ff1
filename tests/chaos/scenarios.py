"""Faults that need a scenario of their own: missed jobs, lost accounting, what `check` must notice.

Each scenario runs in a fresh world and returns what was wrong.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos import oracle
from chaos.harness import World, installed
from chaos.injection import Kind, ServerFault, SlurmFault, wait_for
from chaos.job import Run
from chaos.oracle import Verdict

HOUR = 3600.0
DAY = 86400.0
SMALL_FILE_SYSTEM = 'mount -t tmpfs -o nr_inodes=60,mode=755 none "$1" && cd "$1"'


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One scenario with the options of its world."""

    name: str
    run: Callable[[World], Verdict]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name, as a test's id."""
        return self.name


def disliked_script(world: World) -> Verdict:
    """Let a firewall dislike a script for good: the run is delivered without it."""
    world.start_drain()
    world.wait_delivered(world.several(3), 20)
    marker = "wget http://disliked.example"
    fault = ServerFault(kind=Kind.STATUS, containing=marker.encode(), status=403, text="no")
    world.backend.faults.inject(fault)
    run = world.begin(script=f"#!/bin/sh\n{marker}\n")
    verdict = Verdict()
    if world.wait_delivered([run], 5) is None:
        world.let_pass(HOUR, step=HOUR / 20, pause=1.0)
    if world.wait_delivered([run], 5) is None:
        verdict.append(f"job {run.job_id} ({run.start}): lost")
    return verdict


def unseen_short_job(world: World) -> Verdict:
    """Let a job without hook events end and be forgotten before the grace of the sweep is over."""
    world.start_drain()
    world.wait_delivered(world.several(3), 20)
    world.sweep()
    run = world.begin(hook=False, nodes=("g01",))
    world.sweep()
    world.end(run, hook=False)
    world.let_pass(60, step=10)
    world.sweep()
    world.sweep()
    return oracle.settle(world, 15, passing=60)


def end_without_accounting(world: World) -> Verdict:
    """Let the epilog alone know an end: no accounting, and slurmctld has forgotten the job."""
    world.start_drain()
    runs = world.several(3)
    world.wait_delivered(runs, 20)
    world.end(runs[0])
    return oracle.settle(world, 30, passing=60)


def missed_without_accounting(world: World) -> Verdict:
    """Let the events alone know a whole run: hosts, user and times are in them."""
    run = world.begin(nodes=("c001", "c002"))
    world.end(run)
    world.runs.remove(run)  # judged here: nobody can know its cores and script
    world.start_drain()
    wait_for(lambda: _is_closed(world, run), 20)
    if not _is_closed(world, run):
        world.let_pass(120, step=10)
    if not _is_closed(world, run):
        world.complaints.append(f"job {run.job_id} ({run.start}): lost")
    world.refused.add(run.job_id)
    dead = [path.name for path in world.files("dead")]
    world.complaints += [f"dead/{name} was not refused by the server" for name in dead]
    return Verdict(world.complaints)


def _is_closed(world: World, run: Run) -> bool:
    rows = [row for row in world.backend.rules.rows if row.key[::2] == run.key]
    hosts = [[each["hostname"] for each in row.document["resources"]] for row in rows]
    return hosts == [list(run.nodes)] and rows[0].stop_time == run.stop_time


def never_swept(world: World) -> Verdict:
    """Let `check` notice after two days that no sweep was ever run."""
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    world.let_pass(2 * DAY, step=DAY / 4)
    done = world.command("cc-spool", "check")
    said = done.stdout.splitlines()[:1]
    return Verdict([] if done.returncode else [f"check is content without any sweep: {said}"])


def no_inodes(world: World) -> Verdict:
    """Let `check` notice that hooks can create no file any more."""
    spool = str(world.root / "spool")
    user = () if os.geteuid() == 0 else ("--map-root-user",)
    script = f'{SMALL_FILE_SYSTEM} && mkdir new todo open dead tmp && cd / && shift && exec "$@"'
    before = ("unshare", "--mount", "--propagation", "private", *user)
    world.wrapper = (*before, "sh", "-c", script, "sh", spool)
    world.start_drain()
    assert world.drain is not None
    inside = Path(f"/proc/{world.drain.pid}/root{spool}")
    wait_for(lambda: (inside / "tmp").exists() and world.notify.alive, 20)
    _use_up_inodes(inside)
    space = ("nsenter", "--target", str(world.drain.pid), "--mount", "--")
    found = world.run_program((*space, installed("cc-spool"), "check"))
    said = found.stdout.splitlines()[:1]
    is_noticed = found.returncode == 2
    return Verdict([] if is_noticed else [f"check is not critical without inodes: {said}"])


def _use_up_inodes(directory: Path) -> None:
    try:
        for number in range(100):
            (directory / f"filler{number}").touch()
    except OSError:
        return


def reloads(world: World) -> Verdict:
    """Let many reloads leave no descriptor open."""
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    counts = []
    for number in range(20):
        world.configure(node_regex=f"c{number}")
        world.reload()
        time.sleep(0.3)
        counts.append(len([*Path(f"/proc/{_pid(world)}/fd").iterdir()]))
    is_leaking = counts[-1] > counts[4] + 3
    return Verdict([f"descriptors grow with reloads: {counts}"] if is_leaking else [])


def signs_of_life(world: World) -> Verdict:
    """Let the watchdog hear of the drain every few seconds, not many times a second."""
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    time.sleep(5)
    rate = world.notify.per_second(4)
    return Verdict([f"WATCHDOG=1 comes {rate} times a second"] if rate > 2 else [])


def no_logged_errors(world: World) -> Verdict:
    """Let start and `check --full` make no request that cc-backend logs as an error."""
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    world.command("cc-spool", "check", "--full")
    empty = [seen for seen in world.backend.log if seen.endpoint == "start" and not seen.job_id]
    return Verdict([f"{len(empty)} starts without a body"] if empty else [])


def foreign_files(world: World) -> Verdict:
    """Let many events of unknown jobs and of a later version cost little memory."""
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    time.sleep(2)
    before = world.resident_bytes()
    new = world.root / "spool" / "new"
    for number in range(1, 10_001):
        (new / f"9-start-{number}-0-0-1").touch()
        (new / f"1-stop-{10**7 + number}-0-0-1").touch()
    run = world.begin()
    verdict = Verdict()
    if world.wait_delivered([run], 40) is None:
        verdict.append(f"job {run.job_id} ({run.start}): lost")
    growth = world.resident_bytes() - before
    if growth > 10 << 20:
        verdict.append(f"20 000 useless events cost {growth >> 20} MiB")
    return verdict


def left_in_tmp(world: World) -> Verdict:
    """Let old files in `tmp/` go away."""
    path = world.root / "spool" / "tmp" / "1-1.json.12345"
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    path.write_text("{")
    os.utime(path, (time.time() - 3 * DAY, time.time() - 3 * DAY))
    world.let_pass(2 * DAY, step=DAY / 4)
    is_gone = wait_for(lambda: not path.exists(), 5) is not None
    return Verdict([] if is_gone else ["a file of three days ago stays in tmp/"])


def huge_record(world: World) -> Verdict:
    """Let one huge job record of squeue cost little time."""
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    comment = b'"comment": "' + b"x" * (40 << 20) + b'", "account"'
    fault = SlurmFault(
        command="squeue",
        words=("--json",),
        lie=lambda stdout: stdout.replace(b'"account"', comment, 1),
    )
    world.slurm.faults.inject(fault)
    run = world.begin()
    took = world.wait_delivered([run], 8)
    return Verdict([] if took is not None else ["a job record of 40 MB takes more than 8 s"])


def large_backlog(world: World) -> Verdict:
    """Let the cost of looking not grow with the number of runs that wait."""
    count = int(os.environ.get("CHAOS_BACKLOG", "20000"))
    world.start_drain()
    world.backend.stop()
    run = world.begin()
    wait_for(lambda: world.files("todo") and not world.files("new"), 20)
    world.kill_drain()
    few = {verb: _seconds(world, *verb) for verb in VERBS}
    original = world.files("todo")[0]
    text = original.read_text()
    for job_id in range(2_000_000, 2_000_000 + count):
        copied = text.replace(str(run.job_id), str(job_id))
        original.with_name(original.name.replace(str(run.job_id), str(job_id))).write_text(copied)
    verdict = Verdict()
    for verb in VERBS:
        more = _seconds(world, *verb) - few[verb]
        if more > LOOKING_SECONDS:
            verdict.append(f"{' '.join(verb)} takes {more:.1f} s more for {count} runs")
    return verdict


VERBS = (("status",), ("check",), ("list",), ("show", "2000007"))
LOOKING_SECONDS = 1.0


def _seconds(world: World, *verb: str) -> float:
    began = time.monotonic()
    world.command("cc-spool", *verb)
    return time.monotonic() - began


def _pid(world: World) -> int:
    assert world.drain is not None
    return world.drain.pid


FORGETFUL = {"min_job_age": 0.0}
SCENARIOS = (
    Scenario(name="P5 disliked script", run=disliked_script),
    Scenario(
        name="P14 unseen short job",
        run=unseen_short_job,
        options=FORGETFUL | {"changes": {"sweep": {"grace_seconds": 30}}},
    ),
    Scenario(
        name="P17 end without accounting",
        run=end_without_accounting,
        options=FORGETFUL | {"has_accounting": False},
    ),
    Scenario(
        name="P17 run without accounting",
        run=missed_without_accounting,
        options=FORGETFUL | {"has_accounting": False},
    ),
    Scenario(name="P16 never swept", run=never_swept),
    Scenario(name="P16 no inodes", run=no_inodes),
    Scenario(name="P18 reloads", run=reloads),
    Scenario(name="P18 signs of life", run=signs_of_life),
    Scenario(name="P18 logged errors", run=no_logged_errors),
    Scenario(name="P18 foreign files", run=foreign_files),
    Scenario(name="P18 files in tmp", run=left_in_tmp),
    Scenario(name="P18 huge record", run=huge_record),
    Scenario(name="P11 large backlog", run=large_backlog),
)

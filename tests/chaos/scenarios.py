"""Faults that need their own scenario: findings of `check`, time and memory.

Each scenario runs in a fresh world and returns what was wrong.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.backlog import large_backlog
from chaos.harness import World, installed
from chaos.injection import Kind, ServerFault, SlurmFault, wait_for
from chaos.missed_jobs import (
    end_without_accounting,
    missed_without_accounting,
    slow_epilog,
    unseen_short_job,
)
from chaos.oracle import Verdict

HOUR = 3600.0
DAY = 86400.0
CRITICAL = 2
QUIET_PAUSE_SECONDS = 12.0  # longer than QUIET_AFTER_SECONDS: then passes are 45 s apart
SMALL_FILE_SYSTEM = 'mount -t tmpfs -o nr_inodes=60,mode=755 none "$1" && cd "$1"'


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One scenario with the options of its world."""

    name: str
    run: Callable[[World], Verdict]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name, which is the test's id."""
        return self.name


def rejected_script(world: World) -> Verdict:
    """Let a firewall always reject a script: the run must be delivered without it."""
    world.start_drain()
    world.wait_delivered(world.several(3), 20)
    marker = "wget http://disliked.example"
    fault = ServerFault(kind=Kind.STATUS, containing=marker.encode(), status=403, text="no")
    world.backend.faults.inject(fault)
    run = world.begin(script=f"#!/bin/sh\n{marker}\n")
    began = world.now()
    while world.wait_delivered([run], 1) is None and world.now() - began < HOUR:
        world.let_pass(60)
    took = world.now() - began if world.delivered([run]) else None
    world.measure("delivered without its script", took, HOUR)
    return Verdict(world.complaints)


def never_swept(world: World) -> Verdict:
    """Expect `check` to report after two days that no sweep was ever run."""
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    world.let_pass(2 * DAY, step=DAY / 4)
    done = world.command("cc-spool", "check")
    world.measure("`check` is content without a sweep", not done.returncode, 0, "")
    return Verdict(world.complaints)


def check_stays_critical(world: World) -> Verdict:
    """Expect `check` to stay critical while the start of the only due run is never answered."""
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    world.backend.faults.inject(ServerFault(kind=Kind.SILENCE, endpoints=("start",)))
    world.begin()
    time.sleep(2)
    world.let_pass(70, step=10, pause=0.3)
    missed = 0
    for _ in range(15):
        world.let_pass(7, pause=1.5)
        missed += _checks(world)["deliveries"]["verdict"] != "CRITICAL"
    world.measure("15 looks at a stuck drain that see nothing", missed, 0, "")
    return Verdict(world.complaints)


def same_age_in_check_and_status(world: World) -> Verdict:
    """Expect `check` and `status` to show the same age of a pending run."""
    world.start_drain()
    world.backend.stop()
    world.begin()
    wait_for(lambda: world.files("todo") and not world.files("new"), 20)
    world.let_pass(10 * HOUR, step=HOUR)
    age = world.now() - world.status()["oldest"]["todo"]
    difference = age - _checks(world)["runs"]["figures"]["runs_age"]["value"]
    world.measure("difference of the ages in `check` and `status`", abs(difference), 5)
    world.measure("that age differs from 10 h by", abs(age - 10 * HOUR), 30)
    return Verdict(world.complaints)


def no_inodes(world: World) -> Verdict:
    """Expect `check` to be critical when hooks can create no more files."""
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
    world.measure("`check` is not critical without inodes", found.returncode != CRITICAL, 0, "")
    return Verdict(world.complaints)


def _use_up_inodes(directory: Path) -> None:
    try:
        for number in range(100):
            (directory / f"filler{number}").touch()
    except OSError:
        return


def reloads(world: World) -> Verdict:
    """Expect many reloads to leave no descriptor open."""
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    counts = []
    for number in range(20):
        world.configure(node_regex=f"c{number}")
        world.reload()
        time.sleep(0.3)
        counts.append(len([*Path(f"/proc/{_pid(world)}/fd").iterdir()]))
    world.measure("more descriptors after 15 reloads", counts[-1] - counts[4], 3, "")
    return Verdict(world.complaints)


def watchdog_rate(world: World) -> Verdict:
    """Expect a `WATCHDOG=1` every few seconds, not many times a second."""
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    time.sleep(5)
    world.measure("WATCHDOG=1 a second", world.notify.per_second(4), 2, "")
    return Verdict(world.complaints)


def quiet_drain(world: World) -> Verdict:
    """Expect an idle drain to react at once to a start, a changed configuration and SIGTERM."""
    world.start_drain()
    world.measure("first starts", world.wait_delivered(world.several(2), 20), 20)
    time.sleep(QUIET_PAUSE_SECONDS)
    world.measure("start", world.wait_delivered([world.begin()], 20), 2)
    time.sleep(QUIET_PAUSE_SECONDS)
    world.configure(node_regex="c")
    reloaded = wait_for(lambda: "reloaded" in world.log.read_text(), 20)
    world.measure("changed configuration is used", reloaded, 5)
    time.sleep(QUIET_PAUSE_SECONDS)
    began = time.monotonic()
    status = world.end_drain()
    world.measure("exit status", status, 0, "")
    world.measure("end", time.monotonic() - began, 3)
    return Verdict(world.complaints)


def no_logged_errors(world: World) -> Verdict:
    """Expect start-up and `check --full` to make no request that cc-backend logs as an error."""
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    world.command("cc-spool", "check", "--full")
    empty = [seen for seen in world.backend.log if seen.endpoint == "start" and not seen.job_id]
    world.measure("starts without a body", len(empty), 0, "")
    return Verdict(world.complaints)


def foreign_files(world: World) -> Verdict:
    """Expect many events of unknown jobs and of a later version to use little memory."""
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    time.sleep(2)
    before = world.resident_bytes()
    new = world.root / "spool" / "new"
    for number in range(1, 10_001):
        (new / f"9-start-{number}-0-0-1").touch()
        (new / f"1-stop-{10**7 + number}-0-0-1").touch()
    run = world.begin()
    world.measure("a job behind 20 000 useless events", world.wait_delivered([run], 40), 40)
    growth = (world.resident_bytes() - before) / (1 << 20)
    world.measure("memory for them", growth, 12, "MiB")  # 6 computed, the rest is the allocator's
    return Verdict(world.complaints)


def left_in_tmp(world: World) -> Verdict:
    """Expect the drain to remove old files from `tmp/`."""
    path = world.root / "spool" / "tmp" / "1-1.json.12345"
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    path.write_text("{")
    os.utime(path, (time.time() - 3 * DAY, time.time() - 3 * DAY))
    world.let_pass(2 * DAY, step=DAY / 4)
    took = wait_for(lambda: not path.exists(), 5)
    world.measure("a file of three days ago goes from tmp/", took, 5)
    return Verdict(world.complaints)


def huge_record(world: World) -> Verdict:
    """Expect one huge job record of squeue to take little time."""
    world.start_drain()
    world.wait_delivered(world.several(2), 20)
    comment = b'"comment": "' + b"x" * (40 << 20) + b'", "account"'
    fault = SlurmFault(
        command="squeue",
        words=("--json",),
        alter=lambda stdout: stdout.replace(b'"account"', comment, 1),
    )
    world.slurm.faults.inject(fault)
    run = world.begin()
    world.measure("a job record of 40 MB", world.wait_delivered([run], 8), 8)
    return Verdict(world.complaints)


def _checks(world: World) -> dict[str, Any]:
    """Return the results of `cc-spool check` by name."""
    results = json.loads(world.command("cc-spool", "check", "--json").stdout)["checks"]
    return {result["name"]: result for result in results}


def _pid(world: World) -> int:
    assert world.drain is not None
    return world.drain.pid


FORGETFUL = {"min_job_age": 0.0}
SCENARIOS = (
    Scenario(name="P5 disliked script", run=rejected_script),
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
        name="P17 slow epilog",
        run=slow_epilog,
        options=FORGETFUL | {"has_accounting": False},
    ),
    Scenario(
        name="P17 run without accounting",
        run=missed_without_accounting,
        options=FORGETFUL | {"has_accounting": False},
    ),
    Scenario(name="P16 never swept", run=never_swept),
    Scenario(name="P16 one age", run=same_age_in_check_and_status),
    Scenario(name="P16 no inodes", run=no_inodes),
    Scenario(name="P19 a start alone is never answered", run=check_stays_critical),
    Scenario(name="P18 reloads", run=reloads),
    Scenario(name="P18 signs of life", run=watchdog_rate),
    Scenario(name="P18 quiet drain", run=quiet_drain),
    Scenario(name="P18 logged errors", run=no_logged_errors),
    Scenario(name="P18 foreign files", run=foreign_files),
    Scenario(name="P18 files in tmp", run=left_in_tmp),
    Scenario(name="P18 huge record", run=huge_record),
    Scenario(name="P11 large backlog", run=large_backlog),
)

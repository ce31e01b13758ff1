"""Classes of faults: how each begins and ends, and what must go on while it lasts.

The names P0 ... P19 are those of the faults that a drain once had; each stands for its class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chaos.harness import World
from chaos.injection import Kind, ServerFault, SlurmFault, wait_for

Lift = Callable[[], None]
Begin = Callable[[World], Lift]
HTML = "text/html; charset=utf-8"
PAGE = "<!DOCTYPE html><title>Welcome</title>"


@dataclass(frozen=True, kw_only=True)
class FaultClass:
    """One class.

    `begin` lets it happen and returns what ends it. New runs must be delivered within
    `others_within` seconds while it lasts (None: they may wait). After its end all must be well
    within `settled_within` seconds, or after `passing` more seconds that are made to pass at once.
    """

    name: str
    begin: Callable[[World], Lift]
    others_within: float | None = None
    lasting: float = 1.0
    settled_within: float = 15.0
    passing: float = 0.0

    def __str__(self) -> str:
        """Return the name, as a test's id."""
        return self.name


def lasting(world: World, fault: ServerFault) -> Lift:
    """Let a fault of the server last until it is lifted."""
    injected = world.backend.faults.inject(fault)
    return lambda: world.backend.faults.lift(injected)


def slurm_lasting(world: World, fault: SlurmFault) -> Lift:
    """Let a fault of Slurm last until it is lifted."""
    injected = world.slurm.faults.inject(fault)
    return lambda: world.slurm.faults.lift(injected)


def poisoned_start(kind: Kind, *, status: int = 500, text: str = "", html: bool = False) -> Begin:
    """Return a beginning: the starts of two runs alone meet a fault."""

    def begin(world: World) -> Lift:
        ids = frozenset((world.shapes.new_id(), world.shapes.new_id()))
        content_type = HTML if html else "text/plain; charset=utf-8"
        lift = lasting(
            world,
            ServerFault(
                kind=kind,
                endpoints=("start",),
                job_ids=ids,
                status=status,
                text=text,
                content_type=content_type,
            ),
        )
        for job_id in sorted(ids):
            world.begin(job_id=job_id)
        return lift

    return begin


def poisoned_stop(world: World) -> Lift:
    """Let the stop of one run alone be answered with an error, while others end too."""
    runs = world.several(6)
    world.wait_delivered(runs, 10)
    fault = ServerFault(
        kind=Kind.STATUS,
        endpoints=("stop",),
        job_ids=frozenset((runs[0].job_id,)),
        status=500,
        text="upstream failed",
    )
    lift = lasting(world, fault)
    for run in runs:
        world.end(run)
    return lift


def outage(status: int, text: str = "", *, hours: float = 6.0) -> Begin:
    """Return a beginning: everything is answered with one status, for hours that pass at once."""

    def begin(world: World) -> Lift:
        fault = ServerFault(kind=Kind.STATUS, status=status, text=text, content_type="text/html")
        lift = lasting(world, fault)
        world.several(8)
        world.let_pass(hours * 3600, step=600)
        return lift

    return begin


def disliked_body(status: int) -> Begin:
    """Return a beginning: a firewall in front refuses the body of one run."""

    def begin(world: World) -> Lift:
        marker = "wget http://disliked.example"
        headers = (("Location", "https://portal.example/"),) if status // 100 == 3 else ()  # noqa: PLR2004
        fault = ServerFault(
            kind=Kind.STATUS,
            containing=marker.encode(),
            status=status,
            text=PAGE,
            content_type=HTML,
            headers=headers,
        )
        lift = lasting(world, fault)
        run = world.begin(script=f"#!/bin/sh\n{marker}\n")
        world.refused.add(run.job_id)
        return lift

    return begin


def swallowed_start(world: World) -> Lift:
    """Let the server store one start and never answer it."""
    job_id = world.shapes.new_id()
    fault = ServerFault(kind=Kind.SWALLOW, endpoints=("start",), job_ids=frozenset((job_id,)))
    injected = world.backend.faults.inject(fault, count=1)
    world.begin(job_id=job_id)
    return lambda: world.backend.faults.lift(injected)


def hanging_slurm(command: str | None, *words: str) -> Begin:
    """Return a beginning: a command hangs, while runs that need nothing of it wait for a server.

    The server is down until the command hangs, so that the facts of these runs are known.
    """

    def begin(world: World) -> Lift:
        world.backend.stop()
        stored = world.several(20)
        wait_stored(world, len(stored))
        lift = slurm_lasting(world, SlurmFault(command=command, words=words, hangs=True))
        unknown = world.begin(nodes=("c001",), purge_at=0.0)
        world.end(unknown)
        world.let_pass(60, step=10)
        world.backend.start()
        took = world.wait_delivered(stored, 5)
        if took is None:
            delivered = len(world.delivered(stored))
            world.complaints.append(f"{delivered} of {len(stored)} runs that need no Slurm")
        return lift

    return begin


def wait_stored(world: World, count: int, seconds: float = 15.0) -> None:
    """Wait until so many runs lie in `todo/` and no event is left."""
    wait_for(lambda: len(world.files("todo")) >= count and not world.files("new"), seconds)


SERVER_TEXT = "database or upstream failed"
POISON = (
    FaultClass(
        name="P0 500 with text",
        begin=poisoned_start(Kind.STATUS, status=500, text=SERVER_TEXT),
        others_within=10,
        passing=900,
    ),
    FaultClass(
        name="P0 503",
        begin=poisoned_start(Kind.STATUS, status=503, text="busy"),
        others_within=10,
        passing=900,
    ),
    FaultClass(name="P0 reset", begin=poisoned_start(Kind.RESET), others_within=10, passing=900),
    FaultClass(
        name="P0 page instead of an answer",
        begin=poisoned_start(Kind.STATUS, status=200, text=PAGE, html=True),
        others_within=10,
        passing=900,
    ),
    FaultClass(name="P0 poisoned stop", begin=poisoned_stop, others_within=10, passing=900),
)
OUTAGES = tuple(
    FaultClass(name=f"P1 {status}", begin=outage(status, text), passing=70, settled_within=3)
    for status, text in (
        (500, ""),
        (521, "Web server is down"),
        (501, "Not implemented"),
        (507, "Insufficient storage"),
        (402, "Payment required"),
        (410, "Gone"),
        (421, "Misdirected"),
        (422, "unknown words"),
    )
)
FIREWALLS = tuple(
    FaultClass(name=f"P5 {status}", begin=disliked_body(status), others_within=5)
    for status in (401, 403, 302, 404, 405)
)
SLURM_HANGS = (
    FaultClass(name="P8 squeue hangs", begin=hanging_slurm("squeue"), passing=120),
    FaultClass(name="P8 sacct hangs", begin=hanging_slurm("sacct"), passing=120),
    FaultClass(name="P8 scontrol hangs", begin=hanging_slurm("scontrol"), passing=120),
    FaultClass(name="P8 slurmctld is stopped", begin=hanging_slurm(None), passing=120),
)
SILENCES = (
    FaultClass(name="P19 a start is never answered", begin=swallowed_start, others_within=6),
)
CLASSES = (*POISON, *OUTAGES, *FIREWALLS, *SLURM_HANGS, *SILENCES)

"""The faults of a seeded plan: what can fail, and which parts of the world each affects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from simulation.clock import VirtualClock
from simulation.disk import FREE_BYTES, MEBIBYTE, VirtualDisk
from simulation.faults import HALTS, OUTAGES, SINGLE, Answer, Faults
from simulation.jobs import HOSTS
from simulation.site import Site

HALT_RECOVERY_SECONDS = 10.0  # a server that rejects requests is probed again after a minute
HANG_RECOVERY_SECONDS = 65.0  # until the last command that hangs is ended
TEXTS_RECOVERY_SECONDS = 45.0
DISK_RECOVERY_SECONDS = 65.0  # until a file that could not be read is read again
RECORDS_RECOVERY_SECONDS = 15.0
TOPOLOGY_SECONDS = 600.0  # after that a start is sent without facts from the topology


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A fault that lasts; the parts in `spoils` fail meanwhile and `recovery` seconds after it.

    `longest` is the longest time that the fault may last.
    """

    name: str
    start: Callable[[], None]
    stop: Callable[[], None] = _nothing
    affected: tuple[str, ...] = ()
    recovery: float = 0.0
    longest: float = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The parts of a simulation that phases change."""

    faults: Faults
    site: Site
    disk: VirtualDisk
    clock: VirtualClock
    change_inputs: Callable[[], None]
    kill: Callable[[], None]
    cut_power: Callable[[], None]
    terminate: Callable[[], None]


class Phases:
    """All faults that can happen: each public method draws one phase."""

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._faults = world.faults
        self._random = random

    def names(self) -> list[str]:
        """Return the names of all phases."""
        own = set(dir(self)) - {"names", "draw"}
        found = sorted(name for name in own if not name.startswith("_"))
        if not self._world.site.traffic.names_start:
            found.remove("clock_step")  # events without a start are distinguished by the clock
        return found

    def draw(self, name: str) -> Phase:
        """Return a phase by its name."""
        phase: Phase = getattr(self, name)()
        return phase

    def _set_field(self, name: str, value: object, *affected: str, recovery: float = 0.0) -> Phase:
        """Return a phase that sets one field of the faults."""
        usual = getattr(Faults(), name)
        return Phase(
            name=f"{name}={value!r}",
            start=lambda: setattr(self._faults, name, value),
            stop=lambda: setattr(self._faults, name, usual),
            affected=affected,
            recovery=recovery,
        )

    # ---- cc-backend

    def outage(self) -> Phase:
        """P1: every request gets the same bad answer, or none."""
        return self._set_field("outage", self._random.choice(OUTAGES), "backend")

    def halt(self) -> Phase:
        """P1: every request is rejected before it reaches cc-backend."""
        answer = self._random.choice(HALTS)
        return self._set_field("outage", answer, "backend", recovery=HALT_RECOVERY_SECONDS)

    def starts_fail(self) -> Phase:
        """P0, P1: only starts fail."""
        return self._set_field("starts_fail", self._random.choice(SINGLE), "starts")

    def stops_fail(self) -> Phase:
        """P0, P1: only stops fail."""
        return self._set_field("stops_fail", self._random.choice(SINGLE), "stops")

    def clusters_fail(self) -> Phase:
        """P2: the topology cannot be read."""
        phase = self._set_field("clusters_fail", True, "starts")
        return replace(phase, longest=TOPOLOGY_SECONDS)

    def lost(self) -> Phase:
        """Requests and replies are lost."""
        return self._set_field("lost_share", self._random.choice([0.05, 0.2]), "backend")

    def delayed(self) -> Phase:
        """Replies come late."""
        return self._set_field("delayed_share", self._random.choice([0.02, 0.1]), "backend")

    def token(self) -> Phase:
        """P6: the token is unreadable or wrong, and later correct again."""
        value = self._random.choice(["unreadable", "wrong"])

        def change(token: str) -> None:
            self._faults.token = token
            self._world.change_inputs()

        name = f"token {value}"
        return Phase(
            name=name, start=lambda: change(value), stop=lambda: change(""), affected=("token",)
        )

    def unknown_hosts(self) -> Phase:
        """P10: some hosts are missing in cluster.json."""
        hosts = set(self._random.sample(HOSTS, 3))
        self._faults.unknown_once |= hosts
        return self._set_field("unknown_hosts", hosts, "hosts")

    # ---- Slurm

    def controller(self) -> Phase:
        """P8, P13: squeue and scontrol hang, fail or are slow."""
        how = self._random.choice(["hang", "fail", "slow"])
        return self._set_field("controller_hangs", how, "slurm", recovery=HANG_RECOVERY_SECONDS)

    def accounting(self) -> Phase:
        """P8, P17: sacct hangs, fails or is slow."""
        how = self._random.choice(["hang", "fail", "slow"])
        return self._set_field("accounting_hangs", how, "slurm", recovery=HANG_RECOVERY_SECONDS)

    def records(self) -> Phase:
        """P12, P15: some records cannot be read."""
        return self._set_field("unreadable_share", 0.3, "slurm", recovery=RECORDS_RECOVERY_SECONDS)

    def texts(self) -> Phase:
        """P4, P9: scripts cannot be read in time."""
        seconds = self._random.choice([5.0, 20.0])
        return self._set_field("texts_hang", seconds, "texts", recovery=TEXTS_RECOVERY_SECONDS)

    def name_service(self) -> Phase:
        """The name service knows no user."""
        return self._set_field("names_fail", True, "names")

    # ---- the machine

    def disk(self) -> Phase:
        """P3: the disk is full, cannot be read, or cannot be synced."""
        kind = self._random.choice(["full", "unreadable", "denied", "unsynced"])
        share = self._random.choice([0.1, 1.0])

        def change(disk: str) -> None:
            self._faults.disk, self._faults.disk_share = disk, share
            self._world.site.events_fail = disk == "full"

        return Phase(
            name=f"disk {kind} {share}",
            start=lambda: change(kind),
            stop=lambda: change(""),
            affected=("process",),
            recovery=DISK_RECOVERY_SECONDS,
        )

    def low_space(self) -> Phase:
        """Little space is left: runs are stored without script."""

        def change(free_bytes: int) -> None:
            self._world.disk.free_bytes = free_bytes

        return Phase(
            name="low space",
            start=lambda: change(100 * MEBIBYTE),
            stop=lambda: change(FREE_BYTES),
            affected=("texts",),
        )

    def clock_step(self) -> Phase:
        """P7: the wall clock is set, and set back later."""
        offset = self._random.choice([-3600.0, 3600.0, -600.0, 600.0])

        def step(seconds: float) -> None:
            self._world.clock.offset += seconds

        name = f"clock {offset:+}"
        return Phase(name=name, start=lambda: step(offset), stop=lambda: step(-offset))

    def kill(self) -> Phase:
        """SIGKILL within some system calls."""
        return Phase(name="kill", start=self._world.kill)

    def power_cut(self) -> Phase:
        """The machine stops: what was not synced may be lost."""
        return Phase(name="power cut", start=self._world.cut_power)

    def sigterm(self) -> Phase:
        """The service is restarted."""
        return Phase(name="SIGTERM", start=self._world.terminate)


def refused_bodies(random: Random) -> Answer | None:
    """Return the answer of a firewall to bodies with a certain word (P5); None: no firewall."""
    refusals = [each for each in SINGLE if each[0] in {301, 403, 404, 405, 502, 503}]
    return random.choice([None, None, *refusals])

"""A seeded plan of faults: what happens to the world in one hour, and what is spoiled by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from simulation.backend import VirtualBackend
from simulation.clock import VirtualClock
from simulation.disk import FREE_BYTES, MEBIBYTE, VirtualDisk
from simulation.faults import HALTS, OUTAGES, SINGLE, Faults
from simulation.site import HOSTS

HALT_RECOVERY_SECONDS = 310.0


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A fault that lasts; `spoils` is not well meanwhile, nor `recovery` seconds after it."""

    name: str
    spoils: tuple[str, ...]
    start: Callable[[], None]
    stop: Callable[[], None] = _nothing
    recovery: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What phases change."""

    faults: Faults
    backend: VirtualBackend
    disk: VirtualDisk
    clock: VirtualClock
    cause_changed: Callable[[], None]
    kill: Callable[[bool], None]
    terminate: Callable[[], None]
    events_fail: Callable[[bool], None]


def phases(world: World, random: Random) -> dict[str, Callable[[], Phase]]:
    """Return what can go wrong, by name; each call draws its details."""
    makers = [
        *_backend_phases(world, random),
        *_slurm_phases(world, random),
        *_machine_phases(world, random),
    ]
    return {maker.__name__.strip("_"): maker for maker in makers}


def _knob(
    world: World, name: str, value: object, spoils: tuple[str, ...], *, recovery: float = 0.0
) -> Phase:
    """Return a phase that sets one knob of the faults."""
    faults = world.faults
    usual = getattr(Faults(), name)
    return Phase(
        name=f"{name}={value!r}",
        spoils=spoils,
        start=lambda: setattr(faults, name, value),
        stop=lambda: setattr(faults, name, usual),
        recovery=recovery,
    )


def _backend_phases(world: World, random: Random) -> list[Callable[[], Phase]]:
    def outage() -> Phase:
        return _knob(world, "outage", random.choice(OUTAGES), ("backend",))

    def halt() -> Phase:
        recovery = HALT_RECOVERY_SECONDS
        return _knob(world, "outage", random.choice(HALTS), ("backend",), recovery=recovery)

    def starts_fail() -> Phase:
        return _knob(world, "starts_fail", random.choice(SINGLE), ("starts",))

    def stops_fail() -> Phase:
        return _knob(world, "stops_fail", random.choice(SINGLE), ("stops",))

    def clusters_fail() -> Phase:
        return _knob(world, "clusters_fail", True, ("starts",))

    def lost() -> Phase:
        return _knob(world, "lost_share", random.choice([0.05, 0.2]), ("backend",))

    def delayed() -> Phase:
        return _knob(world, "delayed_share", random.choice([0.02, 0.1]), ("backend",))

    def refused_body() -> Phase:
        answer = random.choice([a for a in SINGLE if a[0] in {403, 404, 301, 405, 500, 503}])
        return _knob(world, "refused_answer", answer, ())

    def token() -> Phase:
        value = random.choice(["unreadable", "wrong"])
        faults = world.faults

        def stop() -> None:
            faults.token = ""
            world.cause_changed()

        def start() -> None:
            faults.token = value
            world.cause_changed()

        return Phase(name=f"token {value}", spoils=("backend",), start=start, stop=stop)

    def unknown_host() -> Phase:
        hosts = set(random.sample(HOSTS, 3))
        world.faults.unknown_once |= hosts
        return _knob(world, "unknown_hosts", hosts, ("hosts",))

    return [
        outage, halt, starts_fail, stops_fail, clusters_fail, lost, delayed, refused_body, token,
        unknown_host,
    ]  # fmt: skip


def _slurm_phases(world: World, random: Random) -> list[Callable[[], Phase]]:
    def controller() -> Phase:
        return _knob(
            world,
            "controller_hangs",
            random.choice(["hang", "fail", "slow"]),
            ("slurm",),
            recovery=65.0,
        )

    def accounting() -> Phase:
        return _knob(
            world,
            "accounting_hangs",
            random.choice(["hang", "fail", "slow"]),
            ("slurm",),
            recovery=65.0,
        )

    def odd_records() -> Phase:
        return _knob(world, "unreadable_share", 0.3, ("slurm",), recovery=15.0)

    def texts_hang() -> Phase:
        return _knob(world, "texts_hang", random.choice([5.0, 20.0]), ("texts",), recovery=45.0)

    def names_fail() -> Phase:
        return _knob(world, "names_fail", True, ("names",))

    return [controller, accounting, odd_records, texts_hang, names_fail]


def _machine_phases(world: World, random: Random) -> list[Callable[[], Phase]]:
    def disk() -> Phase:
        kind = random.choice(["full", "unreadable", "denied", "unsynced"])
        faults, share = world.faults, random.choice([0.1, 1.0])

        def start() -> None:
            faults.disk, faults.disk_share = kind, share
            world.events_fail(kind == "full")

        def stop() -> None:
            faults.disk = ""
            world.events_fail(False)

        return Phase(
            name=f"disk {kind} {share}", spoils=("process",), start=start, stop=stop, recovery=65.0
        )

    def low_space() -> Phase:
        def start() -> None:
            world.disk.free_bytes = 100 * MEBIBYTE

        def stop() -> None:
            world.disk.free_bytes = FREE_BYTES

        return Phase(name="low space", spoils=("texts",), start=start, stop=stop)

    def clock_step() -> Phase:
        offset = random.choice([-3600.0, 3600.0, -600.0, 600.0])

        def start() -> None:
            world.clock.offset += offset

        def stop() -> None:
            world.clock.offset -= offset

        return Phase(name=f"clock {offset:+}", spoils=(), start=start, stop=stop)

    def kill() -> Phase:
        return Phase(name="kill", spoils=(), start=lambda: world.kill(False))

    def power_cut() -> Phase:
        return Phase(name="power cut", spoils=(), start=lambda: world.kill(True))

    def terminate() -> Phase:
        return Phase(name="SIGTERM", spoils=(), start=world.terminate)

    return [disk, low_space, clock_step, kill, power_cut, terminate]

"""One simulated hour from a seed: the production drain in a virtual world, and its story."""

from __future__ import annotations

import logging
import random as global_random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

from ccbackend.accelerators import accelerator_map
from ccbackend.client import BackendClient
from ccbackend.filters import JobFilters
from ccbackend.metadata import MetadataPolicy
from ccbackend.site_map import SiteMap
from ccbackend.version import SharedServerInfo, Version
from ccbackend.wire.transport import Transport
from simulation import plan
from simulation.backend import CLUSTER, VirtualBackend
from simulation.clock import VirtualClock
from simulation.disk import KilledError, VirtualDisk
from simulation.faults import SINGLE, Faults
from simulation.oracle import Oracle, Violation
from simulation.scheduler import Process, Scheduler, VirtualQueue, VirtualWorker
from simulation.site import ADDRESSES, HOSTS, Site, Traffic
from simulation.slurm import VirtualSlurm, VirtualSlurmClient
from simulation.truth import Run
from simulation.wellness import Wellness
from simulation.wire import VirtualTransport
from spool.deliver.compose import PayloadComposer
from spool.drain.assembly import DrainSettings, Externals, assemble
from spool.drain.service import Service
from spool.files.layout import Layout

ROOT, STATE = Path("/spool"), Path("/state")
TAIL_SECONDS = 700.0  # two holds and a recovery
WRITEBACK_SECONDS = 5.0
CHECK_SECONDS = 4.0
PASS_SECONDS = 0.0003
MAX_PASSES = 3000  # in a minute: 50 a second
RESTART_SECONDS = 5.0  # of systemd


@dataclass(slots=True)
class Result:
    """What a seed gave: the violation or "", how much happened, and the story if it was kept."""

    seed: int
    violation: str = ""
    runs: int = 0
    passes: int = 0
    starts: int = 0
    stops: int = 0
    title: str = ""
    story: list[str] = field(default_factory=list)


class Simulation:
    """The world of one seed."""

    def __init__(self, seed: int, *, keep_story: bool = False) -> None:
        global_random.seed(seed)  # tenacity's pauses
        self.random = random = Random(seed)
        self.result = Result(seed)
        self._keep_story = keep_story
        self.clock = VirtualClock()
        self.scheduler = Scheduler(self.clock, random)
        self.faults = Faults(random=random)
        self.wellness = Wellness()
        self.disk = VirtualDisk(self.clock.wall)
        for path in (STATE, *(ROOT / name for name in ("new", "todo", "open", "dead", "tmp"))):
            self.disk.add_directory(path)
        version = random.choice([Version(1, 4, 4), Version(1, 5, 4)])
        self.backend = VirtualBackend(version, HOSTS, self.scheduler, self.faults)
        self.slurm = VirtualSlurm(
            self.scheduler, self.faults, min_job_age=random.choice([300.0, 300.0, 120.0, 30.0])
        )
        self.slurm.has_accounting = random.random() < 0.85
        self.traffic = Traffic(
            jobs=random.randint(150, 350),
            names_start=not self.slurm.has_accounting or random.random() < 0.7,
        )
        self.site = Site(
            self.traffic,
            self.slurm,
            self.disk,
            scheduler=self.scheduler,
            new=ROOT / "new",
            is_new_backend=self.backend.is_new,
        )
        self.oracle = Oracle(
            self.site,
            self.backend,
            self.disk,
            root=ROOT,
            wellness=self.wellness,
            clock=self.clock,
        )
        self.replaces_earlier = self.site.replaces_earlier = random.random() < 0.7
        self.process = Process()
        self.queue = VirtualQueue(self.scheduler)
        self._service: Service | None = None
        self._layout: Layout | None = None
        self._is_power_cut = False
        self._is_terminated = False
        self._inputs_changed = False
        self._minute: list[float] = [0.0, 0.0]
        self.idle_cap = random.choice([1.0, 3.0, 5.0])
        self.end = self.clock.steady + self.traffic.seconds + TAIL_SECONDS

    # ---- the story

    def say(self, text: str) -> None:
        """Add a line to the story."""
        if self._keep_story:
            self.result.story.append(
                f"{self.clock.steady - 1000.0 + self.clock.ahead:10.3f} {text}"
            )

    # ---- the run

    def run(self) -> Result:
        """Let the hour pass."""
        self._prepare()
        handler = _StoryHandler(self)
        loggers = [logging.getLogger(name) for name in ("spool", "ccbackend", "slurm")]
        for logger in loggers:
            logger.addHandler(handler)
            logger.propagate = False
            logger.setLevel(logging.DEBUG if self._keep_story else logging.ERROR)
        try:
            self._loop()
            self.oracle.check_end()
        except Violation as violation:
            self.result.violation = str(violation)
        except Exception as error:
            self.result.violation = f"the drain ended with {error!r}"
            if self._keep_story:
                logging.getLogger("simulation").exception("the drain ended")
        finally:
            for logger in loggers:
                logger.removeHandler(handler)
                logger.propagate = True
        result = self.result
        result.runs = len(self.site.runs)
        result.starts = sum(run.started_at is not None for run in self.site.runs.values())
        result.stops = sum(run.stopped_at is not None for run in self.site.runs.values())
        if result.violation:
            self.say(f"VIOLATION: {result.violation}")
        return result

    def _prepare(self) -> None:
        random, site = self.random, self.site
        site.say = self.say
        site.on_event = self._wake
        site.on_job = self._choose_fate
        site.on_lost = self._report_again_later
        site.plan()
        self._plan_faults()
        self._write_back()
        words = [
            str(self.backend.version),
            f"jobs={self.traffic.jobs}",
            f"age={self.slurm.min_job_age:.0f}",
        ]
        words += [] if self.slurm.has_accounting else ["no accounting"]
        words += [] if self.traffic.names_start else ["no start in events"]
        words += ["replace" if self.replaces_earlier else "keep"]
        self.result.title = " ".join(words) + "; " + self.result.title
        self._poison_share = random.choice([0.0, 0.0, 0.02])
        self._silent_share = random.choice([0.0, 0.0, 0.0, 0.01])
        self._forbidden_share = random.choice([0.0, 0.02])

    def _plan_faults(self) -> None:
        random = self.random
        world = plan.World(
            faults=self.faults,
            backend=self.backend,
            disk=self.disk,
            clock=self.clock,
            cause_changed=self._change_inputs,
            kill=self._kill,
            terminate=self._terminate,
            events_fail=lambda fail: setattr(self.site, "events_fail", fail),
        )
        makers = plan.phases(world, random)
        names = []
        if not self.traffic.names_start:  # events without a start are told apart by the clock
            del makers["clock_step"]
        for name in random.sample(list(makers), random.randint(1, 5)):
            phase = makers[name]()
            latest = random.choice([10.0, *[self.traffic.seconds - 400.0] * 3])  # also at the start
            begin = self.clock.steady + random.uniform(0.0, latest)
            lasts = random.choice([5.0, 30.0, 90.0, 200.0]) * random.uniform(0.5, 1.0)
            self._play(phase, begin, begin + lasts)
            names.append(phase.name)
        self.result.title = ", ".join(names)

    def _play(self, phase: plan.Phase, begin: float, end: float) -> None:
        def start() -> None:
            self.say(f"FAULT begins: {phase.name}")
            self.wellness.spoil(phase.spoils, self.clock.steady)
            phase.start()

        def stop() -> None:
            self.say(f"FAULT ends: {phase.name}")
            phase.stop()
            self.scheduler.after(phase.recovery, heal)

        def heal() -> None:
            self.wellness.heal(phase.spoils, self.clock.steady)

        self.scheduler.at(begin, start)
        self.scheduler.at(end, stop)

    def _choose_fate(self, run: Run) -> None:
        """Let something refuse a few runs alone, or never answer them.

        Of the latter there is one: a second one may hold the other connection for a minute.
        """
        random = self.random
        is_poison, is_silent = (
            random.random() < self._poison_share,
            random.random() < self._silent_share,
        )
        if run.job_id in self.faults.poison:
            run.is_poison = True
        elif run.job_id in self.faults.silent:
            run.is_silent = True
        elif is_poison:
            answer = random.choice([each for each in SINGLE if each[1] != "timed_out"])
            for each in self.site.by_job[run.job_id]:
                each.is_poison = True
            self.faults.poison[run.job_id] = random.choice(["start", "stop"]), answer
            self.say(f"POISON {run.key} {self.faults.poison[run.job_id]}")
        elif is_silent and not self.faults.silent:
            for each in self.site.by_job[run.job_id]:
                each.is_silent = True
            self.faults.silent.add(run.job_id)
            self.say(f"SILENT {run.key}")

    def _report_again_later(self, run: Run) -> None:
        """Let the sweep find a run whose event was lost."""
        self.say(f"event of {run.key} is lost")
        delay = self.random.uniform(5.0, 20.0)
        self.scheduler.after(delay, lambda: self.site.report_again(run))

    def _wake(self) -> None:
        """Let the loop look at its directories within its 40 ms."""
        at = self.clock.steady + self.random.uniform(0.0, 0.04)
        self.queue.wake_at = min(self.queue.wake_at, at)

    def _write_back(self) -> None:
        self.disk.write_back()
        self.scheduler.after(WRITEBACK_SECONDS, self._write_back)

    def _change_inputs(self) -> None:
        self._inputs_changed = True
        self._wake()

    def _take_inputs_changed(self) -> bool:
        changed, self._inputs_changed = self._inputs_changed, False
        return changed

    # ---- lives of the process

    def _kill(self, power_cut: bool) -> None:
        if self._service is not None and self.disk.calls_left is None:
            self._is_power_cut = power_cut
            self.disk.calls_left = self.random.choice([0, 3, 10, 40, 200])

    def _terminate(self) -> None:
        self._is_terminated = True
        self._wake()

    def _loop(self) -> None:
        checked = 0.0
        while self.clock.steady < self.end:
            try:
                service = self._service or self._boot()
                if self._is_terminated:
                    service.shut_down()
                    service.close()
                    self._die("SIGTERM")
                    continue
                service.run_pass(self.idle_cap)
                self._count_pass()
            except KilledError:
                self._die("killed")
            except OSError as error:
                if not self.faults.disk:
                    raise
                self._die(f"ended by {error}")
            if self.clock.steady - checked > CHECK_SECONDS:
                checked = self.clock.steady
                self.oracle.check_progress()

    def _count_pass(self) -> None:
        """Let a pass take its time; one that repeats without a pause is a violation."""
        self.clock.steady += PASS_SECONDS
        self.result.passes += 1
        begin, count = self._minute
        if self.clock.steady - begin > 60.0:
            self._minute = [self.clock.steady, 0.0]
        elif count > MAX_PASSES:
            raise Violation(f"{count:.0f} passes in {self.clock.steady - begin:.1f} s (spins)")
        else:
            self._minute[1] += 1

    def _boot(self) -> Service:
        self.process = Process()
        self.queue = VirtualQueue(self.scheduler)
        shared = SharedServerInfo()
        self._layout = Layout(ROOT, self.disk)

        def new_worker(
            name: str, work: Callable[[Any], Any], answers: Any, *, clock: Any
        ) -> VirtualWorker:
            del clock
            return VirtualWorker(
                name, work, answers, scheduler=self.scheduler, process=self.process
            )

        def client() -> BackendClient:
            transport = VirtualTransport(self.backend, self.scheduler, self.faults, self.say)
            return BackendClient(cast("Transport", transport), shared)

        externals = Externals(
            slurm=lambda: VirtualSlurmClient(self.slurm),
            backend=client,
            texts=self.slurm.ask_texts,
            inputs_changed=self._take_inputs_changed,
            clocks=self.clock.clocks(),
            sleep=self.clock.sleep,
            random=self.random.random,
            answers=self.queue,
            new_worker=new_worker,
            system_calls=self.disk,
        )
        settings = DrainSettings(
            state=STATE,
            hold_seconds=180.0,
            replace_earlier=self.replaces_earlier,
            keep_days=3.0,
            min_free_bytes=1 << 30,
        )
        composer = PayloadComposer(self._site_map, MetadataPolicy(), JobFilters())
        self._service = assemble(settings, composer, externals, layout=self._layout)
        self.say("the drain is started")
        return self._service

    def _site_map(self, clusters: Any) -> SiteMap:
        known = {cluster.name: cluster for cluster in clusters or ()}
        return SiteMap(
            cluster=CLUSTER,
            accelerators=accelerator_map({"a": {str(i): a for i, a in enumerate(ADDRESSES)}}, {}),
            clusters=known,
            clusters_known=clusters is not None,
        )

    def _die(self, why: str) -> None:
        """End the process, and begin a new life after a while."""
        self.say(f"DRAIN ENDS: {why}" + (", power cut" if self._is_power_cut else ""))
        self.process.is_alive = False
        self._service = None
        self._is_terminated = False
        self.wellness.spoil(("process",), self.clock.steady)
        lost = self.disk.restart(self.random, power_cut=self._is_power_cut)
        self._is_power_cut = False
        for path in lost:
            self._lose(path)
        self.scheduler.advance(self.random.choice([0.1, RESTART_SECONDS, 30.0]))
        self.wellness.heal(("process",), self.clock.steady)

    def _lose(self, path: str) -> None:
        """Let the sweep repair what a power cut took of hooks' events."""
        self.say(f"lost or changed by the power cut: {path}")
        directory, _, name = path.rpartition("/")
        run = self.site.by_event.get(name)
        if directory == str(ROOT / "new") and run is not None:
            self._report_again_later(run)


class _StoryHandler(logging.Handler):
    """Puts the drain's log into the story; an exception in our own code is a violation."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__()
        self._simulation = simulation

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        text = record.getMessage()
        self._simulation.say(f"{record.levelname} {text}")
        if "failed here" in text or "in our own code" in text or "cannot be mapped" in text:
            raise Violation(f"an exception: {text}")

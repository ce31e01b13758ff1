"""One simulated hour from a seed: the processes of the drain, and the story of what happened."""

from __future__ import annotations

import logging
import random as global_random
from dataclasses import dataclass, field

from simulation.disk import KilledError
from simulation.drain import start_drain
from simulation.oracle import Oracle, Violation
from simulation.plan import Phase, Phases, World
from simulation.scheduler import Process, VirtualQueue
from simulation.world import ROOT, VirtualWorld
from spool.drain.service import Service
from spool.errors import SpoolError

TAIL_SECONDS = 700.0  # two holds and a recovery
CHECK_SECONDS = 4.0
PASS_SECONDS = 0.0003
MINUTE_SECONDS = 60.0
MAX_PASSES = 3000  # in a minute: 50 a second
RESTART_SECONDS = (0.1, 5.0, 30.0)
LOGGERS = ("spool", "ccbackend", "slurm")
_OWN_FAULTS = ("internal error", "no request can be made from")


@dataclass(slots=True)
class Result:
    """The result of a seed: the violation or "", counts, and the story if it was kept."""

    seed: int
    title: str = ""
    violation: str = ""
    runs: int = 0
    passes: int = 0
    starts: int = 0
    stops: int = 0
    story: list[str] = field(default_factory=list)


class Simulation:
    """The drain in the world of one seed."""

    def __init__(self, seed: int, *, keep_story: bool = False) -> None:
        global_random.seed(seed)  # tenacity's pauses
        self.world = world = VirtualWorld(seed, keep_story=keep_story)
        self.result = Result(seed, story=world.story)
        self.service: Service | None = None
        self._keep_story = keep_story
        self._random = world.random
        self._clock = world.clock
        self._oracle = Oracle(
            world.site,
            world.backend,
            world.disk,
            root=ROOT,
            availability=world.availability,
            clock=world.clock,
        )
        self._process = Process()
        self._queue = VirtualQueue(world.scheduler)
        self._is_power_cut = False
        self._is_terminated = False
        self._inputs_changed = False
        self._minute = (0.0, 0)
        self._idle_seconds = 5.0 if world.is_long else self._random.choice([1.0, 3.0, 5.0])
        self._end = self._clock.steady + world.site.traffic.seconds + TAIL_SECONDS

    def run(self) -> Result:
        """Simulate the hour and return the result."""
        world, result = self.world, self.result
        world.site.on_event = self._wake
        world.begin()
        result.title = f"{world.title()}; {self._plan_faults()}"
        handler = _StoryHandler(self.world)
        try:
            self._log_to(handler)
            self._loop()
            self._oracle.check_end()
        except Violation as violation:
            result.violation = str(violation)
        except Exception as error:
            result.violation = f"the drain ended with {error!r}"
            logging.getLogger("simulation").debug("the drain ended", exc_info=True)
        finally:
            for name in LOGGERS:
                logging.getLogger(name).removeHandler(handler)
        runs = world.site.runs.values()
        result.runs = len(runs)
        result.starts = sum(run.started_at is not None for run in runs)
        result.stops = sum(run.stopped_at is not None for run in runs)
        if result.violation:
            world.say(f"VIOLATION: {result.violation}")
        return result

    def _log_to(self, handler: logging.Handler) -> None:
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.addHandler(handler)
            logger.propagate = False
            logger.setLevel(logging.DEBUG if self._keep_story else logging.ERROR)

    # ---- faults

    def _plan_faults(self) -> str:
        """Put some faults into the schedule, a few of them at the start; return their names."""
        random, world = self._random, self.world
        parts = World(
            faults=world.faults,
            site=world.site,
            disk=world.disk,
            clock=world.clock,
            change_inputs=self._change_inputs,
            kill=self._kill,
            cut_power=self._cut_power,
            terminate=self._terminate,
        )
        phases = Phases(parts, random)
        drawn = [phases.draw(name) for name in random.sample(phases.names(), random.randint(1, 5))]
        for phase in drawn:
            lasts = min(world.fault_seconds(), phase.longest)
            latest = random.choice([10.0, *[world.site.traffic.seconds - lasts - 200.0] * 3])
            begin = self._clock.steady + random.uniform(0.0, latest)
            self._play(phase, begin, begin + lasts)
        return ", ".join(phase.name for phase in drawn)

    def _play(self, phase: Phase, begin: float, end: float) -> None:
        world = self.world

        def start() -> None:
            world.say(f"FAULT begins: {phase.name}")
            world.availability.begin_fault(phase.affected, self._clock.steady)
            phase.start()

        def stop() -> None:
            world.say(f"FAULT ends: {phase.name}")
            phase.stop()
            world.scheduler.after(phase.recovery, end_fault)

        def end_fault() -> None:
            world.availability.end_fault(phase.affected, self._clock.steady)

        world.scheduler.at(begin, start)
        world.scheduler.at(end, stop)

    def _change_inputs(self) -> None:
        self._inputs_changed = True
        self._wake()

    def _take_inputs_changed(self) -> bool:
        changed, self._inputs_changed = self._inputs_changed, False
        return changed

    def _kill(self) -> None:
        """Let the process end within some system calls."""
        if self.service is not None and self.world.disk.calls_left is None:
            self.world.disk.calls_left = self._random.choice([0, 3, 10, 40, 200])

    def _cut_power(self) -> None:
        self._kill()
        self._is_power_cut = self.service is not None

    def _terminate(self) -> None:
        self._is_terminated = True
        self._wake()

    def _wake(self) -> None:
        """Let the loop read its directories within 40 ms."""
        at = self._clock.steady + self._random.uniform(0.0, 0.04)
        self._queue.wake_at = min(self._queue.wake_at, at)

    # ---- the processes of the drain

    def _loop(self) -> None:
        checked = 0.0
        while self._clock.steady < self._end:
            try:
                self._live()
            except KilledError:
                self._end_process("killed")
            except (OSError, SpoolError) as error:
                if not self.world.faults.disk:
                    raise
                self._end_process(f"ended by {error}")
            if self._clock.steady - checked > CHECK_SECONDS:
                checked = self._clock.steady
                self._oracle.check_progress()

    def _live(self) -> None:
        """Run one pass; start a process first if there is none, or end it after SIGTERM."""
        if self.service is None:
            self._process, self._queue = Process(), VirtualQueue(self.world.scheduler)
            inputs = self._take_inputs_changed
            self.service = start_drain(self.world, self._process, self._queue, inputs)
            self.world.say("the drain is started")
        if self._is_terminated:
            self.service.shut_down()
            self.service.close()
            self._end_process("SIGTERM")
            return
        self.service.run_pass(self._idle_seconds)
        self._count_pass()

    def _count_pass(self) -> None:
        """Let a pass take its time; too many passes in a minute are a violation."""
        self._clock.steady += PASS_SECONDS
        self.result.passes += 1
        begin, count = self._minute
        if self._clock.steady - begin > MINUTE_SECONDS:
            begin, count = self._clock.steady, 0
        elif count > MAX_PASSES:
            raise Violation(f"{count} passes in {self._clock.steady - begin:.1f} s (spins)")
        self._minute = begin, count + 1

    def _end_process(self, why: str) -> None:
        """End the process, and let time pass until the next start."""
        world = self.world
        world.say(f"DRAIN ENDS: {why}" + (", power cut" if self._is_power_cut else ""))
        self._process.is_alive = False
        self.service, self._is_terminated = None, False
        world.availability.begin_fault(("process",), self._clock.steady)
        lost = world.disk.restart(self._random, power_cut=self._is_power_cut)
        self._is_power_cut = False
        for path in lost:
            self._lose(path)
        world.scheduler.advance(self._random.choice(RESTART_SECONDS))
        world.availability.end_fault(("process",), self._clock.steady)

    def _lose(self, path: str) -> None:
        """Let a sweep report the run again whose event a power cut removed or changed."""
        self.world.say(f"lost or changed by the power cut: {path}")
        directory, _, name = path.rpartition("/")
        run = self.world.site.by_event.get(name)
        if directory == str(ROOT / "new") and run is not None:
            self.world.report_again_later(run)


class _StoryHandler(logging.Handler):
    """A handler that adds the drain's log to the story; an exception in our code is a violation."""

    def __init__(self, world: VirtualWorld) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        """Add a log line to the story."""
        text = record.getMessage()
        self._world.say(f"{record.levelname} {text}")
        if any(words in text for words in _OWN_FAULTS):
            raise Violation(f"an exception: {text}")

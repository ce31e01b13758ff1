"""The virtual world of one seed: clock, disk, Slurm, cc-backend and the site with its traffic."""

from __future__ import annotations

from pathlib import Path
from random import Random

from ccbackend.version import Version
from simulation.availability import Availability
from simulation.backend import VirtualBackend
from simulation.clock import VirtualClock
from simulation.disk import VirtualDisk
from simulation.faults import SINGLE, Faults
from simulation.jobs import HOSTS, Traffic
from simulation.plan import refused_bodies
from simulation.scheduler import Scheduler
from simulation.site import Site
from simulation.slurm import VirtualSlurm
from simulation.truth import Run

ROOT, STATE = Path("/spool"), Path("/state")
WRITEBACK_SECONDS = 5.0
HOUR_SECONDS = 3000.0
LONG_SECONDS = 12 * 3600.0
LONG_SHARE = 0.08  # of the seeds: few jobs, and faults that last for hours
SHORT_FAULTS = (5.0, 30.0, 90.0, 200.0)
LONG_FAULTS = (200.0, 3600.0, 3 * 3600.0, 6 * 3600.0)


class VirtualWorld:
    """Everything around the drain; the story of events is kept only if `keep_story` is set."""

    def __init__(self, seed: int, *, keep_story: bool) -> None:
        self.random = random = Random(seed)
        self.story: list[str] = []
        self._keep_story = keep_story
        self.clock = VirtualClock()
        self.scheduler = Scheduler(self.clock, random)
        self.faults = Faults(random=random)
        self.availability = Availability()
        self.disk = VirtualDisk(self.clock.wall)
        self.disk.fault = self.faults.disk_fault
        for path in (STATE, *(ROOT / name for name in ("new", "todo", "open", "dead", "tmp"))):
            self.disk.add_directory(path)
        version = random.choice([Version(1, 4, 4), Version(1, 5, 4)])
        self.backend = VirtualBackend(version, HOSTS, self.scheduler, self.faults)
        self.slurm = VirtualSlurm(
            self.scheduler, self.faults, min_job_age=random.choice([300.0, 300.0, 120.0, 30.0])
        )
        self.slurm.has_accounting = random.random() < 0.85
        self.is_long = random.random() < LONG_SHARE
        traffic = Traffic(
            jobs=random.randint(60, 120) if self.is_long else random.randint(150, 350),
            seconds=LONG_SECONDS if self.is_long else HOUR_SECONDS,
            longest=LONG_SECONDS / 2 if self.is_long else HOUR_SECONDS / 2,
            names_start=not self.slurm.has_accounting or random.random() < 0.7,
            forbidden_share=random.choice([0.0, 0.02]),
        )
        self.site = Site(
            traffic,
            self.slurm,
            self.disk,
            scheduler=self.scheduler,
            new=ROOT / "new",
            is_new_backend=self.backend.is_new,
        )
        self.site.replaces_earlier = random.random() < 0.7
        self.site.say = self.say
        self.site.on_fate = self._choose_fate
        self.site.on_lost = self.report_again_later
        self.faults.refused_answer = refused_bodies(random)
        self._poison_share = random.choice([0.0, 0.0, 0.02])
        self._silent_share = random.choice([0.0, 0.0, 0.0, 0.01])

    def begin(self) -> None:
        """Schedule the jobs of the site and the regular write-back of the disk."""
        self.site.plan()
        self._write_back()

    def say(self, text: str) -> None:
        """Add a line to the story if it is kept."""
        if self._keep_story:
            self.story.append(f"{self.clock.steady - 1000.0 + self.clock.ahead:10.3f} {text}")

    def title(self) -> str:
        """Return the settings that distinguish this world from others."""
        words = [
            "half a day" if self.is_long else "",
            str(self.backend.version),
            f"{self.site.traffic.jobs} jobs",
            f"MinJobAge {self.slurm.min_job_age:.0f}",
            "" if self.slurm.has_accounting else "no accounting",
            "" if self.site.traffic.names_start else "no start in events",
            "replace" if self.site.replaces_earlier else "keep",
            f"refused {self.faults.refused_answer}" if self.faults.refused_answer else "",
            "poison" if self._poison_share else "",
            "silent" if self._silent_share else "",
        ]
        return ", ".join(word for word in words if word)

    def fault_seconds(self) -> float:
        """Return a random duration for a fault, in seconds."""
        longest = self.random.choice(LONG_FAULTS if self.is_long else SHORT_FAULTS)
        return longest * self.random.uniform(0.5, 1.0)

    def report_again_later(self, run: Run) -> None:
        """Simulate a sweep that reports a run whose event was lost, as soon as it can write."""
        self.say(f"event of {run.key} is lost")
        delay = self.random.uniform(5.0, 20.0)
        self.scheduler.after(delay, lambda: self._report_again(run))

    def _report_again(self, run: Run) -> None:
        if self.site.events_fail:
            self.report_again_later(run)
        else:
            self.site.report_again(run)

    def _write_back(self) -> None:
        self.disk.write_back()
        self.scheduler.after(WRITEBACK_SECONDS, self._write_back)

    def _choose_fate(self, run: Run) -> None:
        """Let cc-backend reject the runs of a few jobs only, or never answer them.

        Only one job gets no answer: a second one could block the other connection for a minute.
        """
        random, faults = self.random, self.faults
        is_poison = random.random() < self._poison_share
        is_silent = random.random() < self._silent_share and not faults.silent
        run.is_forbidden = run.is_forbidden and faults.refused_answer is not None
        if is_poison and run.job_id not in faults.poison:
            answer = random.choice([each for each in SINGLE if each[1] != "timed_out"])
            faults.poison[run.job_id] = random.choice(["start", "stop"]), answer
            self.say(f"POISON {run.key} {faults.poison[run.job_id]}")
        elif is_silent:
            faults.silent.add(run.job_id)
            self.say(f"SILENT {run.key}")
        for each in self.site.by_job[run.job_id]:
            each.is_poison = run.job_id in faults.poison
            each.is_silent = run.job_id in faults.silent

"""A world for the installed commands: a small server, a small Slurm, hooks, spool and a drain.

The program is a black box: it is started by its installed commands, reads a configuration, and is
judged by the rows of the server, the directories of the spool and its own answers.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from chaos import site_facts
from chaos.figures import Figure
from chaos.injection import wait_for
from chaos.job import Run
from chaos.notify import NotifySocket
from chaos.processes import has_children
from chaos.server import Backend
from chaos.slurm import NEW, Slurm
from chaos.slurm_hooks import call_hook, move_event
from chaos.traffic import Shapes

CLOCK = Path(__file__).resolve().parent / "clock"
DIRECTORIES = ("new", "todo", "open", "dead", "tmp")
COMMAND_SECONDS = 60.0
KILL_SECONDS = 15.0
COMMANDS_SECONDS = 3.0


def installed(name: str) -> str:
    """Return the path of an installed command of the environment that runs the tests."""
    return str(Path(sys.executable).parent / name)


class World:
    """Everything around one drain; a context manager that ends all of its processes."""

    def __init__(
        self,
        root: Path,
        *,
        version: str = "1.5.4",
        release: str = NEW,
        seed: int = 0,
        changes: Mapping[str, Any] | None = None,
        **slurm: Any,
    ) -> None:
        self.root = root
        self._stepped = self._passed = 0.0
        # `let_pass` also moves the clock of the server's job cache
        self.backend = Backend(version, seed=seed, clock=lambda: time.monotonic() + self._passed)
        self.slurm = Slurm(root / "slurm", release, **slurm)
        self.slurm.now = self.now
        self.shapes = Shapes(seed)
        self.runs: list[Run] = []
        self.refused: set[int] = set()
        self.complaints: list[str] = []
        self.figures: list[Figure] = []
        self.drain: subprocess.Popen[bytes] | None = None
        self.log = root / "drain.log"
        self.wrapper: tuple[str, ...] = ()
        self.with_descriptions = False
        self._changes = dict(changes or {})
        root.mkdir(parents=True, exist_ok=True)
        self.notify = NotifySocket(root / "notify")
        self._clock = root / "clock"
        self._write_clock()

    def __enter__(self) -> Self:
        spool = self.root / "spool"
        for name in DIRECTORIES:
            (spool / name).mkdir(parents=True)
        (self.root / "state").mkdir()
        self.backend.start()
        self.slurm.start()
        self.write_token(self.backend.token)
        self.configure()
        return self

    def __exit__(self, *_: object) -> None:
        self.backend.faults.lift_all()
        self.slurm.faults.lift_all()
        self.kill_drain()
        self.slurm.stop()
        self.backend.close()
        self.notify.close()

    # the program

    def configure(self, **changes: Any) -> None:
        """Write the configuration, with some keys changed from now on."""
        self._changes |= changes
        commands = str(self.slurm.commands)
        document = site_facts.configuration(str(self.root), commands, self.backend.url)
        path = self.root / "config.json"
        path.with_suffix(".new").write_text(json.dumps(document | self._changes))
        path.with_suffix(".new").chmod(0o600)
        path.with_suffix(".new").rename(path)

    def write_token(self, text: str, mode: int = 0o600) -> None:
        """Put a token file in place by rename."""
        path = self.root / "token"
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").chmod(mode)
        path.with_suffix(".new").rename(path)

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of the program, whose clocks can be shifted."""
        shims = {"PYTHONPATH": str(CLOCK), "CHAOS_CLOCK": str(self._clock)}
        return {"PATH": os.environ["PATH"], **shims}

    def start_drain(self) -> None:
        """Start the drain as systemd does, if it does not run."""
        if self.drain is not None and self.drain.poll() is None:
            return
        command = [installed("cc-spool"), "drain", "-c", str(self.root / "config.json")]
        argv = ["prlimit", "--nofile=1024", *self.wrapper, *command]  # systemd's default limit
        with self.log.open("ab") as log:
            self.drain = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment | {"NOTIFY_SOCKET": str(self.notify.path)},
                cwd=self.root,
                start_new_session=True,
            )

    def kill_drain(self) -> None:
        """Kill the drain and all processes that it has started, as a power cut would."""
        if self.drain is not None:
            if self.drain.poll() is None:
                os.killpg(self.drain.pid, signal.SIGKILL)
            self.drain.wait(KILL_SECONDS)
            self.drain = None

    def end_drain(self) -> int:
        """End the drain as systemd does; return its exit status."""
        assert self.drain is not None
        self.drain.terminate()
        status = self.drain.wait(KILL_SECONDS)
        self.drain = None
        return status

    def command(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `cc-spool VERB ...` or `cc-sweep VERB ...` to its end."""
        return self.run_program((installed(name), *words))

    def run_program(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command line of the program to its end."""
        return subprocess.run(
            [*words, "-c", str(self.root / "config.json")],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            env=self.environment,
            cwd=self.root,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def sweep(self) -> int:
        """Run `cc-sweep apply`; return its exit status."""
        return self.command("cc-sweep", "apply").returncode

    def status(self) -> dict[str, Any]:
        """Return `cc-spool status --json`."""
        found: dict[str, Any] = json.loads(self.command("cc-spool", "status", "--json").stdout)
        return found

    def reload(self) -> None:
        """Let the drain read its configuration again."""
        assert self.drain is not None
        self.drain.send_signal(signal.SIGHUP)

    def resident_bytes(self) -> int:
        """Return the resident memory of the drain; 0 if it does not run."""
        try:
            assert self.drain is not None
            fields = Path(f"/proc/{self.drain.pid}/statm").read_text().split()
        except (AssertionError, OSError):
            return 0
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Return the CPU time of the drain without its children."""
        assert self.drain is not None
        text = Path(f"/proc/{self.drain.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # time

    def now(self) -> float:
        """Return Slurm's time, which does not follow steps of this host's clock."""
        return time.time() + self._passed

    def step_wall_clock(self, seconds: float) -> None:
        """Set how far the wall clock of this host is ahead of Slurm's."""
        self._stepped = seconds
        self._write_clock()

    def let_pass(self, seconds: float, *, step: float | None = None, pause: float = 0.1) -> None:
        """Move the clocks of the program and of Slurm ahead, with a real pause after each step.

        A running command ends first, otherwise it would seem to take as long as the step.
        """
        step = step or seconds
        for _ in range(round(seconds / step)):
            if not self.slurm.is_hanging:
                wait_for(lambda: not has_children(self.drain), COMMANDS_SECONDS)
            self._passed += step
            self._write_clock()
            time.sleep(pause)

    def _write_clock(self) -> None:
        pair = struct.pack("dd", self._stepped, self._passed)
        if not self._clock.exists():
            self._clock.write_bytes(pair)
        with self._clock.open("r+b") as file:
            file.write(pair)

    # jobs

    def begin(self, *, hook: bool = True, **wishes: Any) -> Run:
        """Let a job start; without `hook` no event is written."""
        run = self.shapes.run(int(self.now()), **wishes)
        self.runs.append(run)
        self.slurm.begin(run)
        if hook:
            self.call_hook("prolog_slurmctld", run)
        return run

    def end(self, run: Run, state: str = "COMPLETED", *, hook: bool = True) -> None:
        """Let a job end; without `hook` no event is written."""
        self.slurm.end(run, state)
        if hook:
            self.call_hook("epilog_slurmctld", run)

    def several(self, count: int, **wishes: Any) -> list[Run]:
        """Let `count` jobs start."""
        return [self.begin(**wishes) for _ in range(count)]

    def call_hook(self, name: str, run: Run, *, pause: float = 0.0) -> None:
        """Run the real hook as slurmctld does; it may pause between open and write of its file.

        After `let_pass`, the event gets the moved time before the drain can see it.
        """
        new = self.root / "spool" / "new"
        if not self._passed and not pause:
            call_hook(name, run, new.parent, is_old=self.slurm.is_old)
            return
        aside = self.root / "aside"
        (aside / "new").mkdir(parents=True, exist_ok=True)
        call_hook(name, run, aside, is_old=self.slurm.is_old)
        for path in (aside / "new").iterdir():
            move_event(path, new, self.now(), pause)

    # observations

    def files(self, directory: str) -> Sequence[Path]:
        """Return the files in a directory of the spool."""
        return sorted((self.root / "spool" / directory).iterdir())

    def delivered(self, runs: Sequence[Run]) -> list[Run]:
        """Return those runs whose start the server has."""
        with self.backend.rules.lock:
            keys = {
                (row.document["jobId"], row.document["startTime"])
                for row in self.backend.rules.rows
            }
        return [run for run in runs if run.key in keys]

    def wait_delivered(self, runs: Sequence[Run], seconds: float) -> float | None:
        """Wait for the starts of some runs; return how long it took, None if it took longer."""
        return wait_for(lambda: len(self.delivered(runs)) == len(runs), seconds)

    def closed(self, runs: Sequence[Run]) -> list[Run]:
        """Return those runs whose end the server has."""
        with self.backend.rules.lock:
            rows = [row for row in self.backend.rules.rows if row.stop_time is not None]
            keys = {(row.document["jobId"], row.document["startTime"]) for row in rows}
        return [run for run in runs if run.key in keys]

    def measure(self, what: str, value: float | None, bound: float, unit: str = "s") -> None:
        """Record a figure, and add a complaint if it exceeds its bound."""
        figure = Figure(what=what, value=value, bound=bound, unit=unit)
        self.figures.append(figure)
        if not figure.is_met:
            self.complaints.append(str(figure))

"""A lab cluster on which one scenario after another is run and recorded."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slurm_lab import Lab, wait_until
from slurm_lab.jobs import ENDED
from slurm_lab.requirements import CONF, PATH

from slurm_recorder.recording_writer import (
    ACCOUNTING_FIELDS,
    FIELDS,
    RecordingWriter,
    Said,
    jobs_at,
)

DUMP = """\
#!/bin/sh
f={root}/env/{kind}.$SLURM_JOB_ID.$(date +%s.%N)
env -0 >"$f.tmp" && mv "$f.tmp" "$f"
"""
NODE_EPILOG = """\
#!/bin/sh
[ -e {root}/slow-epilog ] || [ -e "{root}/slow-epilog-$SLURMD_NODENAME" ] && sleep 20
exit 0
"""


ASK = f"""\
#!/bin/sh
export PATH={PATH} SLURM_CONF={CONF}
at={{root}}/env/asked.{{kind}}
date +%s.%N >"$at-time.txt"
squeue --json >"$at-squeue.json"
squeue --json --states=all >"$at-squeue-all.json"
scontrol show job -d "$SLURM_JOB_ID" >"$at-scontrol.txt"
SLURM_TIME_FORMAT=%s squeue -a --states=all -o '{FIELDS}' >"$at-squeue.txt"
SLURM_TIME_FORMAT=%s sacct -P -j "$SLURM_JOB_ID" -o '{ACCOUNTING_FIELDS}' >"$at-sacct.txt"
exec {{root}}/bin/{{kind}}-dump
"""
ASKING = {
    "PrologSlurmctld": "{root}/bin/prolog-query",
    "EpilogSlurmctld": "{root}/bin/epilog-query",
}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One situation: how to produce it and what to keep.

    `options` are lines of slurm.conf, `replaced` pairs of texts in the files of Slurm.
    """

    name: str
    play: Callable[[ScenarioRun], None]
    options: Mapping[str, str] = field(default_factory=dict)
    replaced: Sequence[tuple[str, str]] = ()


class ScenarioRun:
    """Runs scenarios; each starts with an empty controller."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self._folder = folder
        self._dumps = lab.root / "env"
        self._jobs: list[int] = []
        self._first_id = 0
        self._is_altered = True  # the nodes have not read the setting of their epilog yet
        self.release = lab.run("squeue", "--version").stdout.split()[-1]
        self._said = lab.root / "said"
        for directory in (self._dumps, self._said):
            directory.mkdir(exist_ok=True)
            directory.chmod(0o777)
        for kind in ("prolog", "epilog"):
            self.program(f"{kind}-dump", DUMP.format(root=lab.root, kind=kind))
            self.program(f"{kind}-query", ASK.format(root=lab.root, kind=kind))
        self.program("node-epilog", NODE_EPILOG.format(root=lab.root))

    def program(self, name: str, text: str) -> Path:
        """Write an executable file that every user of the cluster may run."""
        path = self.lab.root / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def record(self, scenario: Scenario, first_id: int) -> None:
        """Run a scenario and keep its folder; replace an older one of the same name."""
        folder = self._folder / scenario.name
        shutil.rmtree(folder, ignore_errors=True)
        self.writer = RecordingWriter(folder, self._run)
        settings = [f"{key}={value}" for key, value in scenario.options.items()]
        settings += [new for _, new in scenario.replaced]
        self.writer.head(self.release, ", ".join(settings))
        self._jobs, self._first_id = [], first_id
        self._empty(scenario, first_id)
        scenario.play(self)
        self._collect()
        self.writer.close()

    def sbatch(self, *options: str, script: str = "", user: str = "alice") -> int:
        """Submit job.sh, which is written anew if a script is given; return the job id."""
        home = self.lab.root / "home" / user
        if script:
            (home / "job.sh").write_text(f"#!/bin/bash\n{script}\n")
            lines = ["#!/bin/bash", *script.splitlines()]
            self.writer.note(f"/home/{user}/job.sh holds:")
            for line in lines:
                self.writer.note(f"    | {line}")
        account = "k1000" if user == "alice" else "k2000"
        said = self.writer.command("sbatch", "-A", account, *options, "job.sh", user=user)
        job = int(said.stdout.split()[-1])
        self._jobs.append(job)
        return job

    def background(self, *argv: str, user: str = "alice") -> None:
        """Start an interactive job in the background; its id is the next one."""
        self.writer.note(f"[{user}@ctl01] {' '.join(argv)} &")
        self.lab.popen(*argv, user=user)
        self._jobs.append(self._first_id + len(self._jobs))

    def about(self, job: int) -> None:
        """Make a job the main one of the scenario; by default it is the first."""
        self._jobs.remove(job)
        self._jobs.insert(0, job)

    def do(self, *argv: str, user: str = "root") -> Said:
        """Run a command that changes something."""
        return self.writer.command(*argv, user=user)

    def note(self, text: str) -> None:
        """Write a remark."""
        self.writer.note(text)

    def keep(self, name: str, *argv: str, user: str = "root") -> None:
        """Keep what one more command prints."""
        self.writer.keep(name, *argv, user=user)

    def running(self, *jobs: int) -> None:
        """Wait until jobs run."""
        for job in jobs or self._jobs:
            self.lab.jobs.wait_state(job, "RUNNING")

    def wait(self, job: int, *states: str, timeout: float = 120) -> None:
        """Wait until a job is in one of some states."""
        self.lab.jobs.wait_state(job, *states, timeout=timeout)

    def now(self, moment: str = "") -> None:
        """Keep what all commands print now."""
        jobs_at(self.writer, moment, self._jobs)

    def ended(self, *, timeout: float = 120) -> None:
        """Wait for the end of all jobs and keep what the commands print then."""
        for job in self._jobs:
            self.lab.jobs.wait_state(job, *ENDED, timeout=timeout)
        wait_until(self._all_accounted, "accounting to have every end")
        jobs_at(self.writer, "ended", self._jobs, is_whole=False)

    def until(self, job: int, count: int, state: str) -> None:
        """Wait until so many tasks of an array are in a state."""
        self._await(lambda: self.lab.jobs.states(job).count(state) >= count, f"{count} {state}")

    def gone(self, job: int) -> None:
        """Wait until the controller has purged a job."""
        self._await(lambda: not self.lab.jobs.states(job), f"{job} to be forgotten")

    def left(self, job: int, nodes: int) -> None:
        """Wait until a completing job holds so many nodes."""
        asked = ("squeue", "-h", "-a", "-t", "all", "-o", "%D", "-j", str(job))
        self._await(lambda: self.lab.run(*asked).stdout.split() == [str(nodes)], "nodes to go")

    def estimated(self, job: int) -> None:
        """Wait until the scheduler says when a job may start."""
        asked = ("squeue", "-h", "-o", "%S", "-j", str(job))
        self._await(lambda: "N/A" not in self.lab.run(*asked).stdout, "an estimate")

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, what, timeout=180, interval=0.1)

    def _all_accounted(self) -> bool:
        ids = ",".join(map(str, self._jobs))
        ends = [end for (end,) in self.lab.jobs.accounted(ids, "End")]
        return bool(ends) and all(end.isdigit() for end in ends)

    def slow_epilog(self, node: str = "") -> None:
        """Keep jobs in COMPLETING from here on, on one node or on all."""
        (self.lab.root / ("slow-epilog" + (f"-{node}" if node else ""))).touch()
        where = f"on {node} alone" if node else "from here on"
        self.note(f"(the node epilog sleeps 20 s {where})")

    def _empty(self, scenario: Scenario, first_id: int) -> None:
        """Restart the controller for a scenario, without any job."""
        lab = self.lab
        lab.controller.stop()
        for path in lab.root.glob("slow-epilog*"):
            path.unlink()
        for directory in (lab.root / "ctld", self._dumps):
            _clear(directory)
        options = {
            "FirstJobId": str(first_id),
            "MinJobAge": "300",
            "SelectTypeParameters": "CR_Core_Memory",
            "PrologSlurmctld": str(lab.root / "bin" / "prolog-dump"),
            "EpilogSlurmctld": str(lab.root / "bin" / "epilog-dump"),
            "Epilog": str(lab.root / "bin" / "node-epilog"),
        }
        chosen = {key: self._here(value) for key, value in scenario.options.items()}
        lab.configure({**options, **chosen})
        self._replace(scenario)
        lab.controller.start()
        if scenario.replaced or self._is_altered:
            for node in lab.nodes.values():
                node.restart()
        self._is_altered = bool(scenario.replaced)
        lab.wait_idle()

    def _here(self, text: str) -> str:
        return text.replace("{root}", str(self.lab.root))

    def _replace(self, scenario: Scenario) -> None:
        """Change texts in the files of Slurm that `configure` has just written."""
        for path in (self.lab.root / "etc" / "slurm").glob("*.conf"):
            text = path.read_text()
            for pair in scenario.replaced:
                old, new = map(self._here, pair)
                text = text.replace(old, new)
            path.write_text(text)

    def _collect(self) -> None:
        """Cancel the jobs and keep the environments that the hooks saw."""
        self.lab.run("scancel", *map(str, self._jobs), check=False)
        wait_until(
            lambda: not self.lab.run("squeue", "-h", "-t", "R,CG,S").stdout, "jobs to be gone"
        )
        for path in self._dumps.glob("asked.*"):
            shutil.move(path, self.writer.folder / path.name.removeprefix("asked."))
        calls: dict[tuple[str, int], int] = {}
        for path in sorted(self._dumps.iterdir(), key=lambda path: path.name.split(".", 2)[2]):
            kind, job, at = path.name.split(".", 2)
            call = calls[kind, int(job)] = calls.get((kind, int(job)), 0) + 1
            main = self._jobs and int(job) == self._jobs[0]
            name = kind + ("" if main and call == 1 else f"-{job}")
            name += f"-call{call}" if call > 1 else ""
            shutil.copyfile(path, self.writer.folder / f"{name}.env")
            title = "PrologSlurmctld" if kind == "prolog" else "EpilogSlurmctld"
            self.note(f"{title} for job {job}, call {call}, at {at} > {name}.env")

    def _run(self, argv: Sequence[str], user: str) -> Said:
        """Run a command; its output goes through files, so that no byte is lost."""
        redirected = 'exec "$@" >"$0/stdout" 2>"$0/stderr"'
        done = self.lab.run("sh", "-c", redirected, str(self._said), *argv, user=user, check=False)
        stdout, stderr = ((self._said / name).read_bytes() for name in ("stdout", "stderr"))
        for path in self._said.iterdir():
            path.unlink()
        return Said(done.returncode, stdout, stderr)


def _clear(directory: Path) -> None:
    """Remove everything in a directory."""
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

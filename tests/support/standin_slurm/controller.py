"""The stand-in's slurmctld: starts, ends and requeues jobs, and runs the real hooks as it would.

The commands (`controller.command("squeue")`) read one file, which is replaced atomically, so that
the drain can ask at any time.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from standin_slurm.environment import environment
from standin_slurm.model import Job
from standin_slurm.templates import templates_of

HERE = Path(__file__).parent
HOOKS = HERE.parents[2] / "hooks"
_MEMORY_SECONDS = 300
_USERS = {"alice": 5001, "bob": 5002}
_SCRIPT = "#!/bin/bash\nsrun ./simulation\n"
_COMMAND = """#!/bin/sh
exec {python} -I -S -B -c 'import sys
sys.path.insert(0, sys.argv[1])
from standin_slurm.commands import main
sys.exit(main(sys.argv[2], sys.argv[3], sys.argv[4:]))' {tests} {name} {state} "$@"
"""


class Controller:
    """One cluster of a release. Everything that it writes is below `root`."""

    def __init__(
        self,
        root: Path,
        series: str,
        *,
        spool: Path,
        clock: Callable[[], float] = time.time,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.root = root
        self.series = series
        self.hooks_run: list[tuple[str, int]] = []
        self._clock = clock
        self._next_id = 1000
        self._jobs: dict[int, Job] = {}
        self._accounting: list[Job] = []
        self._is_down = False
        self._is_dbd_down = False
        self.saved = root / "saved"
        for name in ("bin", "hooks", "saved"):
            (root / name).mkdir(parents=True)
        self._make_commands()
        self._install_hooks(spool)
        self._settings = {
            "StateSaveLocation": str(self.saved),
            "PrologSlurmctld": str(root / "hooks" / "prolog_slurmctld"),
            "EpilogSlurmctld": str(root / "hooks" / "epilog_slurmctld"),
            **(settings or {}),
        }
        self._save_templates()
        self._save()

    def upgrade(self, series: str, *, keeps_files: bool = False) -> None:
        """Change to another release; jobs go on. The controller is down while files are replaced.

        Args:
            series: the release.
            keeps_files: squeue and the others are a site's wrappers, which stay as they are.
        """
        self.set_down(controller=True)
        self.series = series
        self._save_templates()
        self._save()
        if not keeps_files:
            self._make_commands()
        self.set_down()

    def command(self, name: str) -> Path:
        """Return the path of squeue, scontrol, sacct or sacctmgr."""
        return self.root / "bin" / name

    def job(self, job_id: int) -> Job:
        """Return a copy of the controller's record."""
        return dict(self._jobs[job_id])

    def new_id(self) -> int:
        """Reserve the next job id and return it."""
        self._next_id += 1
        return self._next_id - 1

    def start(self, cores: dict[str, list[int]], **wishes: Any) -> int:
        """Start a job on some cores of some nodes; return its id.

        Args:
            cores: flat indices by node, nodes in order.
            wishes: other keys of a job (`model`), and `job_id`.
        """
        job = self._new_job(cores, wishes)
        self._jobs[job["job_id"]] = job
        self._save_script(job)
        self._run(job)
        return int(job["job_id"])

    def end(self, job_id: int, state: str = "COMPLETED", *, exit_code: int = 0) -> None:
        """End a run; the epilog runs while the job is completing."""
        job = self._jobs[job_id]
        row = self._row(job)
        job |= {"state": state, "flags": ["COMPLETING"], "end": int(self._clock())}
        job["exit_code"] = exit_code
        row |= _accounted(job)
        self._save()
        self._hook("epilog", job)
        job["flags"] = []
        self._save()

    def cancel(self, job_id: int) -> None:
        """Cancel a run."""
        self.end(job_id, "CANCELLED", exit_code=15)

    def requeue(self, job_id: int, state: str = "REQUEUED") -> None:
        """Requeue a job: its run ends, and the job is pending again without nodes."""
        job = self._jobs[job_id]
        now = int(self._clock())
        self._row(job).update({"end": now, "state": state})
        job |= {"state": "PENDING", "flags": ["COMPLETING"], "end": now}
        job["restarts"] += 1  # raised before the epilog runs
        self._save()
        self._hook("epilog", job)
        job["former"] = {"nodes": job["nodes"], "cores": job["cores"], "gpus": job["gpus"]}
        job |= {"flags": [], "start": None, "end": None, "submit": now}
        job |= {"nodes": [], "cores": {}, "gpus": {}}
        self._save()

    def restart(self, job_id: int) -> None:
        """Begin the next run of a requeued job on the nodes of the last one."""
        job = self._jobs[job_id]
        job |= job.pop("former")
        self._run(job)

    def suspend(self, job_id: int) -> None:
        """Suspend a run."""
        self._jobs[job_id]["state"] = "SUSPENDED"
        self._save()

    def resume(self, job_id: int) -> None:
        """Resume a suspended run."""
        self._jobs[job_id]["state"] = "RUNNING"
        self._save()

    def forget(self, job_id: int) -> None:
        """Purge a job, so that only accounting has it."""
        del self._jobs[job_id]
        shutil.rmtree(self._script_of(job_id).parent, ignore_errors=True)
        self._save()

    def put(self, job: Job) -> None:
        """Store a record unchanged, without a hook, for comparisons with recordings."""
        self._jobs[job["job_id"]] = job
        self._accounting.append(_accounted(job))
        self._save()

    def set_down(self, *, controller: bool = False, database: bool = False) -> None:
        """Stop the controller, the accounting database or both; what is not named answers again."""
        self._is_down, self._is_dbd_down = controller, database
        self._save()

    def _new_job(self, cores: dict[str, list[int]], wishes: dict[str, Any]) -> Job:
        user = wishes.get("user", "alice")
        job_id = wishes.pop("job_id", None) or self.new_id()
        job: Job = {
            "job_id": job_id,
            "name": "job",
            "user": user,
            "uid": _USERS[user],
            "group": "hpcusers",
            "gid": 5000,
            "account": "k1000",
            "partition": "cpu",
            "qos": "normal",
            "array": None,
            "het": None,
            "limit": 60,
            "nodes": [*cores],
            "cores": cores,
            "gpus": {},
            "gpu_type": "a100",
            "sharing": "OK",
            "restarts": 0,
            "admin_comment": "",
            "comment": "",
            "script": _SCRIPT,
            "work_dir": f"/home/{user}",
            "submit": int(self._clock()),
        }
        return job | wishes

    def _run(self, job: Job) -> None:
        """Begin a run: the job is configuring while the prolog runs."""
        job |= {"start": int(self._clock()), "end": None, "state": "RUNNING", "exit_code": 0}
        job["flags"] = ["CONFIGURING"]
        number = job["job_id"] * 100 + job["restarts"]
        job["sluid"] = f"s{number:013}"
        self._accounting.append({**job, "flags": []})
        self._save()
        self._hook("prolog", job)
        job["flags"] = []
        self._save()

    def _row(self, job: Job) -> Job:
        """Return the row of accounting of the run that has not ended."""
        return next(
            row
            for row in reversed(self._accounting)
            if row["job_id"] == job["job_id"] and row["end"] is None
        )

    def _hook(self, name: str, job: Job) -> None:
        """Run a hook as slurmctld does: cleared environment, in 21.08 without 0, 1 and 2."""
        closing = "0<&- 1>&- 2>&-" if self.series == "21.08" else ""
        hook = self.root / "hooks" / f"{name}_slurmctld"
        done = subprocess.run(
            ["/bin/sh", "-c", f'exec "$0" {closing}', str(hook)],
            env=environment(self.series, job, name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            check=False,
        )
        if (done.returncode, done.stdout + done.stderr) != (0, b""):
            raise RuntimeError(f"{name} of {job['job_id']}: {done}")
        self.hooks_run.append((name, job["job_id"]))

    def _script_of(self, job_id: int) -> Path:
        return self.saved / f"hash.{job_id % 10}" / f"job.{job_id}" / "script"

    def _save_script(self, job: Job) -> None:
        """Save the script where slurmctld does: that of an array's task below the array's id."""
        if job["script"] is None:
            return
        path = self._script_of((job["array"] or [job["job_id"]])[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(job["script"].encode() + b"\0")

    def _make_commands(self) -> None:
        for name in ("squeue", "scontrol", "sacct", "sacctmgr"):
            text = _COMMAND.format(
                python=shlex.quote(sys.executable),
                tests=shlex.quote(str(HERE.parent)),
                name=name,
                state=shlex.quote(str(self.root)),
            )
            new = self.root / "bin" / f"{name}.new"
            new.write_text(text)
            new.chmod(0o755)
            new.replace(self.command(name))

    def _save_templates(self) -> None:
        templates = templates_of(self.series, self._settings)
        self._replace(f"templates-{self.series}.json", templates)

    def _install_hooks(self, spool: Path) -> None:
        """Copy the hooks as an installation does, with this spool named in the stubs."""
        for source in HOOKS.iterdir():
            target = self.root / "hooks" / source.name
            named = f"\nCC_SLURM_SYNC_SPOOL={shlex.quote(str(spool))}\n"
            default = "\n#CC_SLURM_SYNC_SPOOL=/var/spool/cc-slurm-sync\n"
            target.write_text(source.read_text().replace(default, named))
            target.chmod(source.stat().st_mode & 0o777)

    def _save(self) -> None:
        document = {
            "series": self.series,
            "jobs": [*self._jobs.values()],
            "accounting": self._accounting,
            "is_down": self._is_down,
            "is_dbd_down": self._is_dbd_down,
            "min_job_age": _MEMORY_SECONDS,
            "now": None if self._clock is time.time else self._clock(),
        }
        self._replace("state.json", document)

    def _replace(self, name: str, document: dict[str, Any]) -> None:
        path = self.root / f"{name}.new"
        path.write_text(json.dumps(document))
        path.replace(self.root / name)


def _accounted(job: Job) -> Job:
    """Return the row of accounting: a run that was killed has no exit code there."""
    killed = job["state"] in {"CANCELLED", "TIMEOUT"}
    state = f"CANCELLED by {job['uid']}" if job["state"] == "CANCELLED" else job["state"]
    return {**job, "flags": [], "state": state, "exit_code": 0 if killed else job["exit_code"]}

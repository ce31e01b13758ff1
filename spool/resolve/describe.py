"""Script and description of jobs: what slurmctld forgets soonest after a job's end.

The script is read from StateSaveLocation where that is possible (microseconds), else by a command
(about 10 ms); when many jobs wait no process is started for each, and the description is rendered
from known fields. Neither is needed to report a job, so no failure here delays one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

from slurm.errors import SlurmError
from slurm.job import Job
from spool.escaping import escape

MAX_COMMAND_JOBS = 8
SCRIPT_LIMIT_BYTES = 256 * 1024  # cut further when sent
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OMITTED_FIELDS = frozenset({"allocations", "admin_comment", "nodes"})
_log = logging.getLogger(__name__)


class SlurmTexts(Protocol):
    """Slurm's commands that print a script or a description."""

    def script(self, job_id: int) -> str | None:
        """Return the batch script; None for a job without one."""

    def description(self, job_id: int) -> str | None:
        """Return what `scontrol show job` says of exactly this job."""


@dataclass(slots=True, kw_only=True)
class SlurmDescriber:
    """Reads both; `state_save_location` None: never from files."""

    slurm: SlurmTexts
    state_save_location: Path | None
    with_script: bool
    with_description: bool
    _denied: bool = False

    def __call__(self, jobs: Iterable[Job]) -> Mapping[int, tuple[str | None, str | None]]:
        """Return script and description by job id."""
        wanted = list(jobs)
        by_command = len(wanted) <= MAX_COMMAND_JOBS
        return {
            job.job_id: (
                self._script(job, by_command=by_command) if self.with_script else None,
                self._description(job, by_command=by_command) if self.with_description else None,
            )
            for job in wanted
        }

    def _script(self, job: Job, *, by_command: bool) -> str | None:
        found, text = self._script_file(job)
        if found or not by_command or self._denied:
            return text
        try:
            return self.slurm.script(job.job_id)
        except SlurmError as error:
            _log.warning("job=%d script is not readable: %s", job.job_id, escape(str(error)))
            self._denied = error.reason == "denied"
            return None

    def _script_file(self, job: Job) -> tuple[bool, str | None]:
        """Return whether the script's place could be looked at, and the script.

        The file lies under the array's id, and ends in NUL (`get_job_script`,
        `src/slurmctld/job_mgr.c`, all releases).
        """
        if self.state_save_location is None:
            return False, None
        owner = job.array_job_id or job.job_id
        hashed = self.state_save_location / f"hash.{owner % 10}"
        try:
            fd = os.open(hashed / f"job.{owner}" / "script", _OPEN)
        except FileNotFoundError:
            return os.access(hashed, os.R_OK | os.X_OK), None
        except OSError:
            return False, None
        try:
            raw = os.read(fd, SCRIPT_LIMIT_BYTES)
        except OSError:
            return False, None
        finally:
            os.close(fd)
        return True, raw.removesuffix(b"\0").decode("utf-8", "replace")

    def _description(self, job: Job, *, by_command: bool) -> str | None:
        if by_command:
            try:
                return self.slurm.description(job.job_id)
            except SlurmError as error:
                _log.debug("job=%d has no description: %s", job.job_id, escape(str(error)))
        return render_description(job)


def render_description(job: Job) -> str:
    """Return a description of a job from the fields known of it."""
    names = [field.name for field in fields(job) if field.name not in _OMITTED_FIELDS]
    known = ((name, getattr(job, name)) for name in names)
    lines = [f"{name}={value}" for name, value in known if value not in {None, ()}]
    return "\n".join([*lines, f"nodes={','.join(job.nodes)}"]) + "\n"

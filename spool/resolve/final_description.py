"""The description of a run that has ended, which replaces the one of its start at cc-backend.

Slurm's own text about the ended run is read in a worker. Where there is none (many jobs ended at
once, Slurm does not answer, the id already has its next run), the text of the start is updated.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from slurm.decode.fields.job_states import END_STATES
from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from spool.errors import log_internal_error
from spool.escaping import escape
from spool.files.run import Run
from spool.resolve.job_texts import ASIDE_SECONDS, MAX_DESCRIBED_JOBS, MIN_COMMAND_SECONDS
from spool.resolve.render_description import slurm_duration, slurm_time

FINAL_BUDGET_SECONDS = 1.0
"""The time limit of one query; the stops of its runs wait for the answer."""
_STATE = re.compile(r"^   JobState=(\S+)", re.MULTILINE)
_BEFORE = r"   (?:[A-Z][\w:/]*=\S+ )*"  # the values before another one in a line of Slurm
_log = logging.getLogger(__name__)


class DescriptionSource(Protocol):
    """Slurm's command that prints the description of a job; `slurm.client.Slurm` has it."""

    def description(self, job_id: int, *, timeout_seconds: float | None = None) -> str | None:
        """Return the text of `scontrol show job` about exactly this job."""


class FinalDescriptions:
    """The reader of Slurm's texts about ended runs; used only in one worker."""

    def __init__(
        self, slurm: DescriptionSource, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._slurm = slurm
        self._clock = clock
        self._aside_until = float("-inf")

    def ask(self, jobs: Sequence[Job]) -> Mapping[tuple[int, int | None], str]:
        """Return Slurm's descriptions by job id and start time; log errors, raise nothing.

        Return none for more than `MAX_DESCRIBED_JOBS` jobs, which would need a process each.
        """
        try:
            return self._read(jobs)
        except Exception as error:  # noqa: BLE001 - a border: one query; the worker goes on
            what = "final descriptions of %d jobs were not read"
            log_internal_error(_log, error, what, len(jobs))
            return {}

    def _read(self, jobs: Sequence[Job]) -> Mapping[tuple[int, int | None], str]:
        found: dict[tuple[int, int | None], str] = {}
        deadline = self._clock() + FINAL_BUDGET_SECONDS
        for job in jobs if len(jobs) <= MAX_DESCRIBED_JOBS else ():
            left = deadline - self._clock()
            if left < MIN_COMMAND_SECONDS or self._clock() < self._aside_until:
                break
            try:
                text = self._slurm.description(job.job_id, timeout_seconds=left)
            except SlurmError as error:
                words = "job=%d final description cannot be read: %s"
                _log.debug(words, job.job_id, escape(str(error)))
                if error.reason is not FailureReason.FAILED:
                    self._aside_until = self._clock() + ASIDE_SECONDS
                continue
            if text and _is_about(text, job):
                found[job.job_id, job.start_time] = text
        return found


def final_description(run: Run) -> str | None:
    """Return a run's description with its end; None without an end or a text with a state."""
    found = _STATE.search(run.description or "")
    if run.end is None or run.description is None or found is None:
        return None
    if found[1] in END_STATES:
        return run.description
    facts = {
        "JobState": run.end.state,
        "ExitCode": run.job.exit_code,
        "RunTime": slurm_duration(run.end.time - run.start_time),
        "EndTime": slurm_time(run.end.time),
    }
    text = run.description
    for name, value in facts.items():
        if value is not None:
            text = _with_value(text, name, value)
    return text


def _is_about(text: str, job: Job) -> bool:
    """Return whether a text is about this run, not about the next one of a requeued job.

    Users write parts of the text: they can only make the text of their own job be left out.
    """
    return job.start_time is not None and f"StartTime={slurm_time(job.start_time)} " in text


def _with_value(text: str, name: str, value: str) -> str:
    """Return a text with another value of `name=`, which is added after `StartTime` if absent."""
    changed, count = re.subn(
        rf"^({_BEFORE}{name}=)\S+", rf"\g<1>{value}", text, count=1, flags=re.MULTILINE
    )
    if count:
        return changed
    return re.sub(
        rf"^({_BEFORE}StartTime=\S+)", rf"\1 {name}={value}", text, count=1, flags=re.MULTILINE
    )

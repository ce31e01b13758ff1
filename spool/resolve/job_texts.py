"""Read script, description and user name of jobs, which slurmctld soon forgets, in a worker.

Scripts come from StateSaveLocation if it is readable (microseconds), else from one command for each
job or array (about 10 ms). Descriptions come from one command a job if the jobs are few, else they
are rendered from the record. A job can be reported without these texts, so all of them share a time
limit, and a command that timed out is not run again for each job.
"""

from __future__ import annotations

import logging
import pwd
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from slurm.decode.fields.user_names import is_user_name
from slurm.decode.scontrol_config import SlurmSettings
from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from slurm.light_dataclass import light_dataclass
from spool.backoff import backoff
from spool.errors import log_internal_error
from spool.escaping import escape
from spool.resolve.render_description import render_description
from spool.resolve.script_files import Script, cut_script, read_script_file, script_owner

BUDGET_SECONDS = 2.0
"""The time limit of one query of the drain."""
COMMAND_SECONDS = 5.0
"""The timeout of one command."""
MAX_DESCRIBED_JOBS = 8
"""Up to this number of jobs, each description comes from a command."""
MIN_COMMAND_SECONDS = 0.05
"""If less time is left, no command is started."""
FIRST_ASIDE_SECONDS = 5.0
"""The first pause of a kind of command that did not answer; it doubles each time."""
ASIDE_SECONDS = 60.0
"""The longest pause."""
DENIED_SECONDS = 600.0
"""The pause of script queries after Slurm has denied one."""
MIN_SCRIPT_LIMIT_BYTES = 256 * 1024
MAX_SCRIPT_LIMIT_BYTES = 4 * 1024 * 1024
_log = logging.getLogger(__name__)


class SlurmTexts(Protocol):
    """Slurm's commands that print texts; the worker has a client of its own."""

    def script(self, job_id: int, *, timeout_seconds: float | None = None) -> str | None:
        """Return the batch script; None for a job without one."""

    def description(self, job_id: int, *, timeout_seconds: float | None = None) -> str | None:
        """Return the text of `scontrol show job` about exactly this job."""

    def config(self, *, timeout_seconds: float | None = None) -> SlurmSettings:
        """Return slurm.conf as the controller sees it."""


@light_dataclass
class Texts:
    """The script and the description of a job.

    `script_bytes_total` is the size of the full script if only its beginning is here.
    `is_final` False: there was no time or no answer; another query may return more.
    """

    script: str | None = None
    script_bytes_total: int | None = None
    description: str | None = None
    is_final: bool = True


@light_dataclass
class TextsQuery:
    """A query for scripts and descriptions of some jobs, and for the names of some users."""

    jobs: tuple[Job, ...] = ()
    uids: frozenset[int] = frozenset()


@light_dataclass
class TextsReply:
    """Scripts and descriptions by job id and start; user names by uid (None: not found now)."""

    texts: Mapping[tuple[int, int | None], Texts] = field(default_factory=dict)
    users: Mapping[int, str | None] = field(default_factory=dict)


@light_dataclass
class TextSettings:
    """Settings for job texts; `state_save_location` None: read it by `scontrol show config`."""

    with_script: bool = True
    with_description: bool = True
    state_save_location: Path | None = None
    script_limit_bytes: int = MIN_SCRIPT_LIMIT_BYTES

    @property
    def read_limit_bytes(self) -> int:
        """Return how many bytes of a script are read: often more than the present limit sends."""
        return min(max(self.script_limit_bytes, MIN_SCRIPT_LIMIT_BYTES), MAX_SCRIPT_LIMIT_BYTES)


class _Source:
    """One kind of command, which pauses after it has failed."""

    def __init__(self) -> None:
        self._aside_until = float("-inf")
        self._silences = 0
        self.is_denied = False

    def is_usable(self, now: float) -> bool:
        return now >= self._aside_until

    def fail(self, error: SlurmError, now: float) -> None:
        self.is_denied = error.reason is FailureReason.DENIED
        if self.is_denied:
            self._aside_until = now + DENIED_SECONDS
        elif error.reason is not FailureReason.FAILED:
            seconds = backoff(self._silences, first=FIRST_ASIDE_SECONDS, longest=ASIDE_SECONDS)
            self._silences += 1
            self._aside_until = now + seconds

    def succeed(self) -> None:
        self.is_denied = False
        self._silences = 0


class JobTexts:
    """The reader of scripts, descriptions and user names in one worker; calls may take long."""

    def __init__(self, slurm: SlurmTexts, settings: TextSettings) -> None:
        self._slurm = slurm
        self._settings = settings
        self._state_save_location = settings.state_save_location
        self._configuration = _Source()
        self._scripts = _Source()
        self._descriptions = _Source()

    def ask(self, query: TextsQuery) -> TextsReply:
        """Answer a query of the drain, in the worker; log errors instead of raising them."""
        try:
            texts = self.read(query.jobs, budget_seconds=BUDGET_SECONDS)
            return TextsReply(texts=texts, users=self.resolve_users(query.uids))
        except Exception as error:  # noqa: BLE001 - a border: one query; the worker goes on
            what = "the scripts and descriptions were not read (jobs: %d)"
            log_internal_error(_log, error, what, len(query.jobs))
            return TextsReply()

    def read(
        self,
        jobs: Sequence[Job],
        *,
        budget_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> dict[tuple[int, int | None], Texts]:
        """Return scripts and descriptions by job id and start time, within a time limit."""
        reading = _Reading(clock, clock() + budget_seconds)
        scripts = self._read_scripts(jobs, reading) if self._settings.with_script else {}
        descriptions = self._describe(jobs, reading) if self._settings.with_description else {}
        found: dict[tuple[int, int | None], Texts] = {}
        for job in jobs:
            script = scripts.get(script_owner(job))
            description = descriptions.get(job.job_id)
            found[job.job_id, job.start_time] = Texts(
                script=None if script is None else script.text,
                script_bytes_total=None if script is None else script.bytes_total,
                description=self._description_of(job, description),
                # a script that Slurm denies, or that is not configured, is not waited for
                is_final=(
                    script is not None or self._scripts.is_denied or not self._settings.with_script
                )
                and (description is not None or not self._settings.with_description),
            )
        return found

    def resolve_users(self, uids: Iterable[int]) -> dict[int, str | None]:
        """Return the login names of user ids from the name service; None if it has no name."""
        return {uid: user_name(uid) for uid in set(uids)}

    # scripts

    def _read_scripts(self, jobs: Sequence[Job], reading: _Reading) -> dict[int, Script]:
        """Return scripts by the id under which Slurm keeps them, without those not read."""
        owners = {script_owner(job): job.job_id for job in jobs}
        limit = self._settings.read_limit_bytes
        found: dict[int, Script] = {}
        location = self._location(reading)
        for owner in owners:
            file = None if location is None else read_script_file(location, owner, limit)
            if file is not None:
                found[owner] = file
        for owner, job_id in owners.items():
            if owner not in found:
                # every task has it; the array's id is that of one task and vanishes with it
                script = self._script_by_command(job_id, reading)
                if script is not None:
                    found[owner] = script
        return found

    def _script_by_command(self, job_id: int, reading: _Reading) -> Script | None:
        seconds = reading.seconds_for(self._scripts)
        if seconds is None:
            return None
        try:
            text = self._slurm.script(job_id, timeout_seconds=seconds)
        except SlurmError as error:
            _log.warning("job=%d script cannot be read: %s", job_id, escape(str(error)))
            self._scripts.fail(error, reading.now())
            return None
        self._scripts.succeed()
        if text is None:
            return Script(None)
        raw = text.encode("utf-8", "replace")
        return cut_script(raw, self._settings.read_limit_bytes, bytes_total=len(raw))

    def _location(self, reading: _Reading) -> Path | None:
        """Return where slurmctld stores scripts; queried once, and again after a failure."""
        if self._state_save_location is not None:
            return self._state_save_location
        seconds = reading.seconds_for(self._configuration)
        if seconds is None:
            return None
        try:
            found = self._slurm.config(timeout_seconds=seconds).get("StateSaveLocation", ())
        except SlurmError as error:
            _log.warning("StateSaveLocation cannot be read from Slurm: %s", escape(str(error)))
            self._configuration.fail(error, reading.now())
            return None
        self._configuration.succeed()
        self._state_save_location = Path(found[0]) if found else None
        return self._state_save_location

    # descriptions

    def _describe(self, jobs: Sequence[Job], reading: _Reading) -> dict[int, str]:
        """Return descriptions by job id, without jobs for which no command may run now."""
        if len(jobs) > MAX_DESCRIBED_JOBS:
            return {job.job_id: render_description(job) for job in jobs}
        found: dict[int, str] = {}
        for job in jobs:
            seconds = reading.seconds_for(self._descriptions)
            if seconds is None:
                continue
            try:
                text = self._slurm.description(job.job_id, timeout_seconds=seconds)
            except SlurmError as error:
                text = "job=%d description cannot be read: %s"
                _log.debug(text, job.job_id, escape(str(error)))
                self._descriptions.fail(error, reading.now())
                text = None
            else:
                self._descriptions.succeed()
            found[job.job_id] = text or render_description(job)
        return found

    def _description_of(self, job: Job, description: str | None) -> str | None:
        if not self._settings.with_description:
            return None
        return render_description(job) if description is None else description


@dataclass(frozen=True, slots=True)
class _Reading:
    """One call of `read` and its deadline."""

    now: Callable[[], float]
    deadline: float

    def seconds_for(self, source: _Source) -> float | None:
        """Return the timeout of a command; None if it must not be run now."""
        now = self.now()
        left = self.deadline - now
        if left < MIN_COMMAND_SECONDS or not source.is_usable(now):
            return None
        return min(COMMAND_SECONDS, left)


def user_name(uid: int) -> str | None:
    """Return the login name of a user id from the name service; None if unknown or no real name."""
    try:
        found = pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return None
    return found if is_user_name(found) and found != str(uid) else None

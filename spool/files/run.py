"""One run of a job: the facts from Slurm, what was delivered, and what is still pending.

A run file is `JOBID-START.json`. The value is frozen: a change is a new value, and the file is
replaced. The cluster's name is fixed once cc-backend accepted a start under it; all other values
for the server are computed when a request is sent.
"""

from __future__ import annotations

from enum import StrEnum

from slurm.job import Job
from slurm.light_dataclass import slotted_dataclass
from spool.errors import BadFileError
from spool.files.layout import Directory

_SUFFIX = ".json"
_MAX_DIGITS = 12


class EndSource(StrEnum):
    """The source of the end of a run."""

    CONTROLLER = "controller"
    ACCOUNTING = "accounting"
    EVENT = "event"  # Slurm has forgotten the run; the epilog's event has the end
    NEXT_RUN = "next run"  # Slurm has forgotten it; the next run of the id has begun
    CLOSE = "close"  # closed by the sweeper without proof


@slotted_dataclass
class End:
    """The end of a run: Unix seconds and Slurm's base state word."""

    time: int
    state: str
    source: EndSource


@slotted_dataclass
class LastError:
    """Why the last request for a run did not complete its delivery.

    `message` is cc-backend's message, escaped; `status` its HTTP status (None: no answer, or an
    error of this program); `request` (dead letters only) the request as JSON without metaData,
    which is in the run itself.
    """

    time: int
    call: str
    outcome: str
    reason: str
    message: str
    hint: str = ""
    status: int | None = None
    request: str | None = None


@slotted_dataclass
class Run:
    """A run: one start-to-end period of a job id.

    `started` is when cc-backend accepted the start (None: not yet). `reported` is False for runs
    that are deliberately not reported, `reason` says why. `replaces` are start times of earlier
    runs whose rows at cc-backend block this start, `replacements` counts how often such rows were
    deleted for it.
    `late_texts` are texts (`script`, `description`) that arrived after the start and may not be in
    the row yet. Instants are Unix seconds.
    """

    job: Job
    start_time: int
    script: str | None = None
    script_bytes_total: int | None = None
    description: str | None = None
    end: End | None = None
    cluster: str | None = None
    started: int | None = None
    reported: bool = True
    reason: str | None = None
    monitoring_status: int | None = None
    replaces: tuple[int, ...] = ()
    attempts: int = 0
    not_before: int = 0
    last_error: LastError | None = None
    seen: int = 0
    late_texts: tuple[str, ...] = ()
    replacements: int = 0

    @property
    def job_id(self) -> int:
        """Return Slurm's id of the run's job."""
        return self.job.job_id

    @property
    def name(self) -> str:
        """Return the run's file name."""
        return run_name(self.job.job_id, self.start_time)

    @property
    def start_is_queued(self) -> bool:
        """Return whether cc-backend may have stored the start, which was queued or published."""
        error = self.last_error
        return error is not None and (error.outcome == "confirm" or error.reason == "swallowed")

    @property
    def start_is_published(self) -> bool:
        """Return whether the start was published by NATS, and no job list has shown it yet."""
        error = self.last_error
        return error is not None and (error.call, error.reason) == ("start", "published")

    @property
    def awaited_flush(self) -> bool:
        """Return whether the start has waited for a flush of cc-backend's job cache."""
        error = self.last_error
        return error is not None and (error.call, error.reason) == ("start", "after_flush")

    @property
    def has_texts(self) -> bool:
        """Return whether there is a script or a description to be sent."""
        return self.script is not None or self.description is not None

    @property
    def directory(self) -> Directory:
        """Return the directory of the run: `todo` while a delivery is pending, else `open`."""
        if self.reported and (self.started is None or self.end is not None):
            return Directory.TODO
        return Directory.OPEN


def waiting_since(run: Run) -> float:
    """Return since when a run waits for its next step, Unix seconds: the mtime of its file.

    The next step is the delivery of its start or stop, or (started) its end. A run cannot have
    waited before this program saw it: a run from a replay begins to wait then.
    """
    if run.started is None:
        return float(run.seen or run.start_time)
    return float(run.started if run.end is None else max(run.seen, run.end.time))


def run_name(job_id: int, start_time: int) -> str:
    """Return the file name of a run."""
    return f"{job_id}-{start_time}.json"


def is_run_name(name: str) -> bool:
    """Return whether a file's name is a valid name of a run file."""
    return _numbers_in(name) is not None


def parse_run_name(name: str) -> tuple[int, int]:
    """Return job id and start time from the name of a run file.

    Raises:
        BadFileError: the name is outside the grammar.
    """
    numbers = _numbers_in(name)
    if numbers is None:
        raise BadFileError(name, "not a valid name of a run file (JOBID-START.json)")
    return numbers


def _numbers_in(name: str) -> tuple[int, int] | None:
    job_id, _, start_time = name.removesuffix(_SUFFIX).partition("-")
    is_valid = name.endswith(_SUFFIX) and _is_number(job_id) and _is_number(start_time)
    return (int(job_id), int(start_time)) if is_valid else None


def _is_number(text: str) -> bool:
    """Return whether a text is a positive number without leading zeros."""
    is_digits = text.isascii() and text.isdigit()
    return is_digits and text[0] != "0" and len(text) <= _MAX_DIGITS

"""The queries to Slurm that run in workers: frozen queries in, frozen replies out, no exceptions.

The controller (squeue, scontrol) and accounting (sacct) have a worker each, so that one that hangs
does not block the other.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Mapping
from dataclasses import field
from typing import Protocol

from slurm.errors import SlurmError
from slurm.job import Job
from slurm.light_dataclass import light_dataclass
from spool.errors import internal_error, log_internal_error
from spool.escaping import escape
from spool.resolve.job_log import log_records, log_rows

_log = logging.getLogger(__name__)


class ListedJob(Protocol):
    """One line of Slurm's job list, as `slurm.client.Slurm.listing` returns it."""

    @property
    def job_id(self) -> int:
        """Return the job's id."""

    @property
    def start_time(self) -> int | None:
        """Return when the run started; None if it did not."""

    @property
    def is_live(self) -> bool:
        """Return whether the run has not ended."""


class DrainSlurm(Protocol):
    """The queries of a drain to Slurm; `slurm.client.Slurm` implements them."""

    @property
    def has_accounting(self) -> bool | None:
        """Return whether the site has accounting; None until this was read."""

    def jobs(
        self, ids: Iterable[int], *, states_only: Container[int] = ()
    ) -> Mapping[int, Job | SlurmError]:
        """Return the controller's records; unknown job ids are absent.

        Records of jobs in `states_only` may lack cores and GRES.
        """

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return every run of these ids that accounting has in a window; () without accounting."""

    def listing(self) -> Iterable[ListedJob]:
        """Return all jobs the controller has."""


@light_dataclass
class RecordsQuery:
    """A query for the controller's records of jobs; `states_only` need no cores and GRES."""

    job_ids: tuple[int, ...]
    states_only: frozenset[int] = frozenset()


@light_dataclass
class ListQuery:
    """A query for the jobs that the controller shows as running."""


@light_dataclass
class RowsQuery:
    """A query for accounting's runs of some jobs between two instants, Unix seconds."""

    job_ids: tuple[int, ...]
    since: int
    until: int


@light_dataclass
class RecordsReply:
    """Records by job id, an error for a record that cannot be read; or why there is no answer."""

    records: Mapping[int, Job | SlurmError] = field(default_factory=dict)
    error: str | None = None


@light_dataclass
class ListReply:
    """Start times of the running jobs, by job id; or why there is no answer."""

    live: Mapping[int, int] = field(default_factory=dict)
    error: str | None = None


@light_dataclass
class RowsReply:
    """Accounting's rows; or why there is no answer."""

    rows: tuple[Job, ...] = ()
    has_accounting: bool = True
    error: str | None = None


ControllerQuery = RecordsQuery | ListQuery
ControllerReply = RecordsReply | ListReply


class SlurmReader:
    """The queries to Slurm with one client; used only in the thread of one worker."""

    def __init__(self, slurm: DrainSlurm) -> None:
        self._slurm = slurm

    def ask_controller(self, query: ControllerQuery) -> ControllerReply:
        """Query squeue and scontrol; return an exception as the reply's error."""
        try:
            if isinstance(query, ListQuery):
                listed = self._slurm.listing()
                return ListReply(live={j.job_id: j.start_time or 0 for j in listed if j.is_live})
            _log.debug("slurmctld is asked about %s", _ids(query.job_ids))
            found = self._slurm.jobs(query.job_ids, states_only=query.states_only)
            log_records(query.job_ids, found)
            return RecordsReply(records=found)
        except Exception as error:  # noqa: BLE001 - a border: one query; the worker goes on
            text = _text(error)
            is_list = isinstance(query, ListQuery)
            return ListReply(error=text) if is_list else RecordsReply(error=text)

    def ask_accounting(self, query: RowsQuery) -> RowsReply:
        """Query sacct; return an exception as the reply's error."""
        try:
            ids = query.job_ids
            _log.debug("accounting is asked about %s", _ids(ids))
            rows = self._slurm.accounting(ids, since=query.since, until=query.until)
            log_rows(ids, rows)
        except Exception as error:  # noqa: BLE001 - a border: one query; the worker goes on
            return RowsReply(error=_text(error))
        return RowsReply(rows=rows, has_accounting=self._slurm.has_accounting is not False)


def _ids(job_ids: Iterable[int]) -> str:
    return ", ".join(f"job={job_id}" for job_id in job_ids)


def _text(error: Exception) -> str:
    if not isinstance(error, SlurmError):
        log_internal_error(_log, error, "a query to Slurm failed")
        return internal_error(error)
    return escape(str(error))

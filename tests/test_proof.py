"""Which rows in the way of a start are proven to be other runs of the same job."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from spool.deliver.run_store import RunStore
from spool.deliver.schedule import Schedule, schedule_entry
from spool.drain.assembly import SameJobProof
from spool.files.archive import DeliveredArchive
from spool.files.layout import Directory, Layout
from spool.files.run import Run

DAY = 24 * 3600
FIRST, SECOND, MUCH_LATER = 1000, 5000, 5000 + DAY


class Slurm:
    """Accounting with some rows, or silent."""

    def __init__(self, *rows: Job, silent: bool = False) -> None:
        self._rows = rows
        self._silent = silent

    def jobs(self, ids: Iterable[int], *, states_only: Container[int] = ()) -> Mapping[int, Job]:
        """Return nothing: a proof never asks the controller."""
        raise AssertionError(ids, states_only)

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return the rows of the ids in the window."""
        if self._silent:
            raise SlurmError("sacct does not answer", reason=FailureReason.UNREACHABLE)
        wanted = set(ids)
        return tuple(
            r
            for r in self._rows
            if r.job_id in wanted and since <= (r.start_time or r.end_time or 0) <= until
        )


def job(start: int, *, restarts: int | None = 0, user: str = "ada") -> Job:
    """Return one run of job 5."""
    return Job(job_id=5, user=user, start_time=start, restart_count=restarts)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    """Return an empty store."""
    for directory in Directory:
        (tmp_path / directory).mkdir()
    with Layout(tmp_path) as layout:
        yield RunStore(layout, Schedule(), DeliveredArchive(tmp_path / "delivered", keep_days=3))


def proven(store: RunStore, run: Job, others: set[int], slurm: Slurm | None = None) -> set[int]:
    """Return what is proven about a run."""
    value = Run(job=run, start_time=run.start_time or 0)
    return SameJobProof(store, slurm or Slurm(), lambda: 1e6)(value, others)


def remember(store: RunStore, *starts: int) -> None:
    """Put runs of job 5 into the spool's memory."""
    for start in starts:
        run = Run(job=job(start), start_time=start, started=start)
        store.schedule.add(schedule_entry(run, Directory.OPEN), 0.0)


def test_a_run_that_is_no_restart_has_no_earlier_runs(store: RunStore) -> None:
    """The row is another job's, whoever remembers it."""
    remember(store, FIRST)

    assert set() == proven(store, job(SECOND), {FIRST}, Slurm(job(FIRST)))


@pytest.mark.parametrize("restarts", [1, None])
def test_the_spool_remembers_an_earlier_run(store: RunStore, restarts: int | None) -> None:
    """Accounting need not be asked."""
    remember(store, FIRST)

    assert {FIRST} == proven(store, job(SECOND, restarts=restarts), {FIRST}, Slurm(silent=True))


def test_the_spool_remembers_the_restart_of_a_first_run(store: RunStore) -> None:
    """The drain died after it had replaced the first run and before it had noted that."""
    remember(store, SECOND)

    assert {SECOND} == proven(store, job(FIRST), {SECOND})


def test_a_job_days_later_is_no_restart_because_the_spool_has_it(store: RunStore) -> None:
    """Its id may be used again."""
    remember(store, MUCH_LATER)

    assert set() == proven(store, job(SECOND), {MUCH_LATER})


def test_accounting_knows_an_earlier_run_of_the_same_user(store: RunStore) -> None:
    """The times may differ by seconds."""
    slurm = Slurm(job(FIRST + 2), Job(job_id=6, user="ada", start_time=FIRST))

    assert {FIRST} == proven(store, job(SECOND, restarts=1), {FIRST}, slurm)


def test_a_row_of_another_user_proves_nothing(store: RunStore) -> None:
    """The id was used again."""
    slurm = Slurm(job(FIRST, user="eve"))

    assert set() == proven(store, job(SECOND, restarts=1), {FIRST}, slurm)


def test_silence_proves_nothing(store: RunStore) -> None:
    """Accounting does not answer."""
    assert set() == proven(store, job(SECOND, restarts=1), {FIRST}, Slurm(silent=True))


def test_a_row_that_lost_its_start_proves_the_run_it_encloses(store: RunStore) -> None:
    """The controller stopped before it told accounting (seen with 22.05.8)."""
    lost = Job(job_id=5, user="ada", submit_time=FIRST - 9, end_time=FIRST + 60, state="REQUEUED")

    assert {FIRST} == proven(store, job(SECOND, restarts=1), {FIRST}, Slurm(lost))
    assert set() == proven(store, job(SECOND, restarts=1), {FIRST - 10}, Slurm(lost))

"""Which rows that block a start are proven to be other runs of the same job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from empty_spool import make_directories

from slurm.job import Job
from spool.deliver.pending_run import pending_run
from spool.deliver.run_loader import RunLoader
from spool.deliver.run_store import RunStore
from spool.deliver.schedule import Schedule
from spool.drain.same_job import SameJobProof
from spool.files.archive import DeliveredArchive
from spool.files.layout import Directory, Layout
from spool.files.run import Run
from spool.files.state_files import CrashMarker
from spool.moment import Clocks, Moment
from spool.resolve.slurm_worker import RowsQuery, RowsReply

DAY = 24 * 3600
FIRST, SECOND, MUCH_LATER = 1000, 5000, 5000 + DAY
NOW = Moment(1e6, 50.0)
SILENCE = RowsReply(error="sacct does not answer")


def job(start: int, *, restarts: int | None = 0, user: str = "ada") -> Job:
    """Return one run of job 5."""
    return Job(job_id=5, user=user, start_time=start, restart_count=restarts)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    """Return an empty store."""
    make_directories(tmp_path)
    crash_marker = CrashMarker(tmp_path / "handling")
    with Layout(tmp_path) as layout:
        archive = DeliveredArchive(tmp_path / "delivered", keep_days=3)
        loader = RunLoader(layout, crash_marker)
        yield RunStore(layout, Schedule(), archive, loader=loader)
    crash_marker.close()


@pytest.fixture
def proof(store: RunStore) -> SameJobProof:
    """Return a proof over the store."""
    return SameJobProof(store, Clocks(wall=lambda: NOW.wall, steady=lambda: NOW.steady))


def ask(proof: SameJobProof, run: Job, others: set[int]) -> list[set[int] | None]:
    """Ask about a run; the answer is in the returned list as soon as it is known."""
    settled: list[set[int] | None] = []
    proof(Run(job=run, start_time=run.start_time or 0), others, settled.append)
    return settled


def accounting(query: RowsQuery, *rows: Job) -> RowsReply:
    """Return the answer of an accounting that has the given rows."""
    found = (row for row in rows if row.job_id in query.job_ids)
    window = (query.since, query.until)
    return RowsReply(
        rows=tuple(
            row for row in found if window[0] <= (row.start_time or row.end_time or 0) <= window[1]
        )
    )


def proven(proof: SameJobProof, run: Job, others: set[int], *rows: Job) -> set[int]:
    """Return what is proven about a run when accounting has the given rows."""
    settled = ask(proof, run, others)
    query = proof.next_query(NOW)
    if query is not None:
        assert proof.take(accounting(query, *rows))
    (starts,) = settled
    assert starts is not None
    return starts


def remember(store: RunStore, *starts: int) -> None:
    """Put runs of job 5 into the memory of the spool."""
    for start in starts:
        run = Run(job=job(start), start_time=start, started=start)
        store.schedule.add(pending_run(run, Directory.OPEN, NOW), NOW.steady)


def test_a_run_without_restarts_has_no_earlier_runs(proof: SameJobProof, store: RunStore) -> None:
    """An earlier row at cc-backend belongs to another job, even if the spool has such a run."""
    remember(store, FIRST)

    assert [set()] == ask(proof, job(SECOND), {FIRST})
    assert None is proof.next_query(NOW)


@pytest.mark.parametrize("restarts", [1, None])
def test_an_earlier_run_in_the_spool_is_of_the_same_job(
    proof: SameJobProof, store: RunStore, restarts: int | None
) -> None:
    """The spool has the run of the row at cc-backend, so that accounting is not asked."""
    remember(store, FIRST)

    assert [{FIRST}] == ask(proof, job(SECOND, restarts=restarts), {FIRST})
    assert None is proof.next_query(NOW)


def test_a_later_run_in_the_spool_is_proven_to_be_a_restart(
    proof: SameJobProof, store: RunStore
) -> None:
    """The drain died after it replaced the first run's row, and before it stored this change."""
    remember(store, SECOND)

    assert [{SECOND}] == ask(proof, job(FIRST), {SECOND})


def test_a_run_2_s_earlier_is_proven_by_an_accounting_row_without_a_start(
    proof: SameJobProof,
) -> None:
    """Accounting has lost the start of the earlier run, and has only the start of the later run."""
    second = job(FIRST + 2, restarts=1)
    row = Job(
        job_id=5,
        user="ada",
        nodes=("n1",),
        state="REQUEUED",
        submit_time=FIRST - 10,
        end_time=FIRST + 1,
    )
    own = replace(second, end_time=FIRST + 60, state="COMPLETED", nodes=("n1",))

    assert {FIRST} == proven(proof, second, {FIRST}, row, own)


def test_a_run_a_day_later_in_the_spool_is_no_restart(proof: SameJobProof, store: RunStore) -> None:
    """Slurm may have used the job id again for another job."""
    remember(store, MUCH_LATER)

    assert set() == proven(proof, job(SECOND), {MUCH_LATER})


def test_accounting_proves_an_earlier_run_of_the_same_job(proof: SameJobProof) -> None:
    """Job id and user match; the start times at cc-backend and in accounting differ by 2 s."""
    rows = (job(FIRST + 2), Job(job_id=6, user="ada", start_time=FIRST))

    assert {FIRST} == proven(proof, job(SECOND, restarts=1), {FIRST}, *rows)


def test_rows_are_proven_by_the_spool_and_accounting_together(
    proof: SameJobProof, store: RunStore
) -> None:
    """A row that neither the spool nor accounting has is not proven to be of the same job."""
    remember(store, FIRST)
    others = {FIRST, FIRST + 500, FIRST + 900}

    expected = {FIRST, FIRST + 500}
    assert expected == proven(proof, job(SECOND, restarts=1), others, job(FIRST + 500))


def test_an_accounting_row_of_another_user_proves_no_run(proof: SameJobProof) -> None:
    """Slurm used the job id again for another user."""
    rows = (job(FIRST, user="eve"),)

    assert set() == proven(proof, job(SECOND, restarts=1), {FIRST}, *rows)


@pytest.mark.parametrize("reply", [SILENCE, None], ids=["silent", "not asked"])
def test_silent_accounting_proves_no_run(proof: SameJobProof, reply: RowsReply | None) -> None:
    """Accounting does not answer, or its worker was closed: the run continues without proof."""
    settled = ask(proof, job(SECOND, restarts=1), {FIRST})
    proof.next_query(NOW)

    assert proof.take(reply)
    assert [None] == settled


def test_an_accounting_row_proves_a_run_between_its_submission_and_its_end(
    proof: SameJobProof,
) -> None:
    """The row has no start: the controller stopped before it sent the start (seen with 22.05.8)."""
    lost = Job(job_id=5, user="ada", submit_time=FIRST - 9, end_time=FIRST + 60, state="REQUEUED")

    assert {FIRST} == proven(proof, job(SECOND, restarts=1), {FIRST}, lost)
    assert set() == proven(proof, job(SECOND, restarts=1), {FIRST - 10}, lost)


def test_the_query_to_accounting_begins_before_the_oldest_unproven_row(proof: SameJobProof) -> None:
    """The query begins 60 s before the oldest row that blocks the start, and ends now."""
    settled = ask(proof, job(SECOND, restarts=1), {FIRST, FIRST + 500})

    expected = RowsQuery(job_ids=(5,), since=FIRST - 60, until=1_000_001)
    assert (expected, []) == (proof.next_query(NOW), settled)


def test_queries_to_accounting_are_sent_one_after_the_other(proof: SameJobProof) -> None:
    """Two runs need a proof, and each query gets its own answer."""
    first = ask(proof, job(SECOND, restarts=1), {FIRST})
    second = ask(proof, job(SECOND, restarts=1), {FIRST + 500})
    known = []
    for start in (FIRST, FIRST + 500):
        query = proof.next_query(NOW)
        assert query is not None
        proof.take(accounting(query, job(start)))
        known.append((list(first), list(second)))

    assert [([{FIRST}], []), ([{FIRST}], [{FIRST + 500}])] == known


def test_an_answer_to_another_query_is_ignored(proof: SameJobProof) -> None:
    """The same worker answers the resolver's queries to accounting."""
    assert not proof.take(RowsReply())

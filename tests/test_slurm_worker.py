"""The Slurm workers turn every answer and every failure into an immutable reply."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

import pytest

from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from spool.resolve.slurm_worker import (
    ControllerQuery,
    ControllerReply,
    ListQuery,
    ListReply,
    RecordsQuery,
    RecordsReply,
    RowsQuery,
    RowsReply,
    SlurmReader,
)

SILENCE = SlurmError("no \x1b[31manswer", reason=FailureReason.UNREACHABLE)
JOB = Job(job_id=5, state="RUNNING", start_time=100)
RECORDS = RecordsQuery(job_ids=(5, 6), states_only=frozenset({6}))
ROWS = RowsQuery(job_ids=(5,), since=1, until=9)


@dataclass(frozen=True)
class Line:
    """One line of a job list."""

    job_id: int
    start_time: int | None = 100
    is_live: bool = True


@dataclass
class Slurm:
    """A Slurm client that gives configured answers or fails, and records its queries."""

    failure: Exception | None = None
    has_accounting: bool | None = None
    lines: list[Line] = field(default_factory=list)
    asked: list[object] = field(default_factory=list)

    def jobs(
        self, ids: Iterable[int], *, states_only: Container[int] = ()
    ) -> Mapping[int, Job | SlurmError]:
        """Return one record and one error."""
        self._note(ids, states_only)
        return {5: JOB, 6: SILENCE}

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return one row."""
        self._note(ids, since, until)
        return (JOB,)

    def listing(self) -> Iterable[Line]:
        """Yield the lines; a failure may come after the last of them."""
        yield from self.lines
        self._note("list")

    def _note(self, *words: object) -> None:
        self.asked.append(words)
        if self.failure is not None:
            raise self.failure


def test_records_are_passed_on_unchanged() -> None:
    """The reply has the job of one id and the error of another, as the client gave them."""
    slurm = Slurm()

    assert RecordsReply(records={5: JOB, 6: SILENCE}) == SlurmReader(slurm).ask_controller(RECORDS)
    assert [((5, 6), frozenset({6}))] == slurm.asked


def test_a_job_list_has_the_running_jobs() -> None:
    """Each running job has its start, or 0 if there is none; ended jobs are omitted."""
    slurm = Slurm(lines=[Line(5), Line(6, is_live=False), Line(7, None)])

    assert ListReply(live={5: 100, 7: 0}) == SlurmReader(slurm).ask_controller(ListQuery())


@pytest.mark.parametrize(("has_accounting", "said"), [(True, True), (None, True), (False, False)])
def test_a_reply_with_rows_says_whether_there_is_accounting(
    *, has_accounting: bool | None, said: bool
) -> None:
    """A client that does not know it gives True, so that no event is given up too early."""
    slurm = Slurm(has_accounting=has_accounting)

    expected = RowsReply(rows=(JOB,), has_accounting=said)
    assert expected == SlurmReader(slurm).ask_accounting(ROWS)
    assert [((5,), 1, 9)] == slurm.asked


@pytest.mark.parametrize(
    ("query", "reply"),
    [
        (RECORDS, RecordsReply(error=r"no \x1b[31manswer")),
        (ListQuery(), ListReply(error=r"no \x1b[31manswer")),
    ],
)
def test_a_failed_controller_query_gives_a_reply(
    query: ControllerQuery, reply: ControllerReply
) -> None:
    """The reply has Slurm's error, escaped; a part of a job list is not returned."""
    reader = SlurmReader(Slurm(failure=SILENCE, lines=[Line(5)]))

    assert reply == reader.ask_controller(query)


def test_a_failed_accounting_query_gives_a_reply() -> None:
    """The reply has no row and does not say whether there is accounting."""
    reader = SlurmReader(Slurm(failure=SILENCE))

    assert RowsReply(error=r"no \x1b[31manswer") == reader.ask_accounting(ROWS)


def test_an_internal_error_does_not_end_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    """The error is logged, and the reply has a message instead of an answer."""
    caplog.set_level(logging.ERROR)
    reader = SlurmReader(Slurm(failure=KeyError("odd")))
    error = "internal error of cc-slurm-sync (KeyError); please report it with the log"

    assert RecordsReply(error=error) == reader.ask_controller(RECORDS)
    assert ListReply(error=error) == reader.ask_controller(ListQuery())
    assert RowsReply(error=error) == reader.ask_accounting(ROWS)
    assert [
        (
            "a query to Slurm failed, internal error of cc-slurm-sync (KeyError('odd')); please"
            " report it with the log"
        )
    ] * 3 == [record.message for record in caplog.records]
